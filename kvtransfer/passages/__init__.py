"""Finds passages that were saved before, wherever they stand in a prompt. Pure; torch isn't needed."""
