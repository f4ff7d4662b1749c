"""`nightcart source new`: guesses at a stranger's files, written as a source YAML."""
