"""The `nightcart` command: one module a subcommand, heavy imports inside the functions."""
