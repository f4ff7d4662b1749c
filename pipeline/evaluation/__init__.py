"""How good the night's model is beside the baselines and the champion, and whether it generates."""
