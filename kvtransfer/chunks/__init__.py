"""What the bytes of a chunk are, where they lie in an engine's blocks, and what they are called."""
