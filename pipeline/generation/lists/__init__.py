"""Ranked lists: by the model, last night or the fallback, and by the shop's rules."""
