"""Rows that came after their day, resolved with all that is known of their user's day."""
