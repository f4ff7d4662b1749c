"""The quality gate between stages, and the pages that show what it saw."""
