"""Which tiers routers are told of, and as which places: each router credits other ones."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from kvtransfer.requests.router_events.event import Place
from kvtransfer.requests.timing import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_OWN = MappingProxyType({HOST: Place("CPU"), "disk": Place("STORAGE", "LOCAL")})
"""What one engine alone can load. Every router credits it to that engine."""


def places(dialect: str, pool: str) -> Mapping[str, Place]:
    """Return the place of each tier that routers of ``dialect`` are told of, by the tier's name.

    Args:
        dialect: a value of ``kv_events`` other than ``off``.
        pool: the name of the remote store, for routers that credit a store to all engines.
    """
    if dialect == "vllm-router":
        return {**_OWN, "remote": Place("STORAGE", "REMOTE", pool)}
    return _OWN
