"""The page that says how a night went, for marketers and operators."""
