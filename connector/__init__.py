"""kvtransfer in vLLM; vLLM itself is imported when the connector is asked for, not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .connector import KVTransferConnector

__all__ = ["KVTransferConnector"]


def __getattr__(name: str) -> type[KVTransferConnector]:
    if name != "KVTransferConnector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .connector import KVTransferConnector

    return KVTransferConnector
