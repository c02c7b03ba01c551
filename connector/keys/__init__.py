"""What the keys of a request cover, and when all of it is known."""
