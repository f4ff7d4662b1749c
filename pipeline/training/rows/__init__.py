"""What is trained on: rows of histories and texts, and their batches."""
