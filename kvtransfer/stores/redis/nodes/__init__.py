"""Finds out which server holds a key now: Sentinel, and the map of a cluster."""
