"""Rankings, for several stages: metrics, baselines, ranks of held-out items."""
