"""How good the night's model is, against the baselines and the champion, and whether it may generate."""
