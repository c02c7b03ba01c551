"""Obeys: carries out plans, between store, pinned host memory and the engine's blocks."""
