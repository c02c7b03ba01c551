"""Which chunks the store holds, and in which tier."""
