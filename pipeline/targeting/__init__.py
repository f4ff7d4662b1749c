"""Whom to write to today, and about what: triggers of shoppers who are active and agree."""
