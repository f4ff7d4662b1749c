"""Published lists as files that mail tools load, by the ids that the tools know."""
