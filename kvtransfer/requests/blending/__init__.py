"""Reuses passages that stand elsewhere in a request's prompt than where they were computed."""
