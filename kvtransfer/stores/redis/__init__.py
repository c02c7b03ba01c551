"""Keeps entries in Redis: on one server, behind Sentinel or in a cluster.

No other folder imports redis.
"""
