"""What a review says: its encoding repaired, its language, its fairness, its phrases."""
