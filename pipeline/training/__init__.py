"""From pasts and words to a fine-tuned GPT-2."""
