"""How long what is kept: what of a lake is too old, what of that is needed, and its removal."""
