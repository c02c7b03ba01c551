"""Finds what is wrong with a deployment, and says what to change."""
