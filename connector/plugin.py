"""The entry point ``vllm.general_plugins``, under the path that installed metadata names."""

from kvtransfer.connector.vllm.plugin import register

__all__ = ["register"]
