"""Reads from models of vLLM what it takes to move passages; the connector moves none yet."""
