"""Connects engines to kvtransfer; each engine has a folder of its own.

vLLM loads its connector class from here, under the name that users write. The engine is imported
only when that class is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.connector.vllm.connector import KVTransferConnector

__all__ = ["KVTransferConnector"]


def __getattr__(name: str) -> type[KVTransferConnector]:
    if name != "KVTransferConnector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from kvtransfer.connector.vllm import load_connector

    return load_connector()
