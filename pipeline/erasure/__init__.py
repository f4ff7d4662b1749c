"""Erasing users: every file of the lake that holds them is written again without them."""
