"""A retailer's files: what a source YAML says of them, finding them, reading them."""
