"""The training loop: phases, steps, rates, checkpoints, processes."""
