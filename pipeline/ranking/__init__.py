"""Rankings, for several stages: metrics, baselines, experts, ranks of held-out items."""
