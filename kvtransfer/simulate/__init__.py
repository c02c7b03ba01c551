"""Replays recorded requests through the index and the policies that serve."""
