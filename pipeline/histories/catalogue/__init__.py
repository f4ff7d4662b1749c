"""The catalogue as known at the end of a night's day, and what changed in it."""
