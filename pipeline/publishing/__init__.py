"""What readers see: checks before publishing, the publishing itself, views, a shopper's page."""
