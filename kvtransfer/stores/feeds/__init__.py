"""Carries short payloads between the processes that share a store: what one appends, others read."""
