"""What training knows of items beside who met them: words, start vectors, new items."""
