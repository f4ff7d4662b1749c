"""Ranked lists for every active user, and a sentence for the first item of each."""
