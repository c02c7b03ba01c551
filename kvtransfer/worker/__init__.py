"""The obeying side: carries out plans between the store, pinned host memory and the blocks."""
