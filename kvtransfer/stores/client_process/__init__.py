"""Keeps entries in stores whose clients run in a process of their own."""
