"""The words of a recommendation: its anchor, the model's sentence or a template."""
