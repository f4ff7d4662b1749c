"""Rules over the rows of one user on one day: duplicates, repetitions, bots."""
