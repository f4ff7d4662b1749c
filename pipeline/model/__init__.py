"""GPT-2: its vocabulary, its prompts and its checkpoint; what all stages of the model share."""
