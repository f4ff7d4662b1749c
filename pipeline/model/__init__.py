"""GPT-2, its vocabulary, the prompts it reads and the directory it is saved in."""
