"""Which deliveries a night cleans, their files, and the rows and files that were refused."""
