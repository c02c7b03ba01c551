"""Looks into stores for the people who run them: lists, sums up, verifies, clears."""
