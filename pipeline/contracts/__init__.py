"""The definition of every dataset, and what follows from it."""
