"""One process each: parse arguments, open the engine, read, call `pipeline`, write, report."""
