"""A seeded simulated shop: the default input, with its ground truth beside it."""
