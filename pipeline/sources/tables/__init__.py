"""Tables of databases: asked once a night, and kept as raw Parquet."""
