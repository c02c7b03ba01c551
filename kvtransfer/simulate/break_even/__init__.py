"""Computes from which context length on a load takes less than computing, for a model and a machine."""
