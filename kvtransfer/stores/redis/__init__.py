"""Chunks in Redis: one server, behind Sentinel or in a cluster. Only this folder imports redis."""
