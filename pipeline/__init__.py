"""Nightcart: nightly recommendations written by a GPT-2 fine-tuned on one shop."""
