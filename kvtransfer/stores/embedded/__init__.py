"""A server of our own, and the store that it backs."""
