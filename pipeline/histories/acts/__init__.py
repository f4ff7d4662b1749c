"""The log of acts: what a night remembers of each user's past, and its files."""
