"""How the model generates: prompts in batches, a cache, beams over a trie of items, texts."""
