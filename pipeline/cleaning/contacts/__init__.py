"""Contact data, payment cards, accounts, ids and secrets in free text; no Spark."""
