"""From cleaned deliveries to the night's catalogue, user histories and item words."""
