"""Splits a budget over host memory, disk and remote store so that a trace is served best."""
