"""From a retailer's rows to cleaned datasets, quarantine and a balancing ledger."""
