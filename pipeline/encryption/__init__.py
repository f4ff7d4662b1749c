"""Parquet's modular encryption of tables that hold acts of single shoppers (docs/privacy.md)."""
