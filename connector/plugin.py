"""Gives the entry point ``vllm.general_plugins`` the path that installed metadata names."""

from kvtransfer.connector.vllm.plugin import register

__all__ = ["register"]
