"""Which chunks of a request are saved, and which blocks are busy meanwhile."""
