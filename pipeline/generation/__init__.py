"""Who gets what: ranked lists for every active shopper, and a sentence for the first item."""
