"""Writes one page about a store and the engines that use it."""
