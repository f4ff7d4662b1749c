"""Rules of one row: mapping, what is refused, free text without contacts."""
