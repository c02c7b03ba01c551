"""Runs a Redis-compatible server of our own, and keeps entries in it."""
