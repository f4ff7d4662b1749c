"""A retailer's files: the source YAML that describes them, finding them, reading them."""
