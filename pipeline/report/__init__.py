"""The report of a night: one HTML page for marketers and operators."""
