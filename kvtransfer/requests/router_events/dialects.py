"""Which tiers routers are told of, and as which places: each router credits other ones."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from kvtransfer.requests.router_events.event import Place
from kvtransfer.requests.timing import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

_HOST = MappingProxyType({HOST: Place("CPU")})
_OWN = MappingProxyType({**_HOST, "disk": Place("STORAGE", "LOCAL")})
"""What lies on the engine's own machine."""


def places(dialect: str, pool: str) -> Mapping[str, Place]:
    """Return the place of each tier that routers of ``dialect`` are told of, by the tier's name.

    Args:
        dialect: a value of ``kv_events`` other than ``off``.
        pool: the name of the remote store, for routers that know such a place.
    """
    if dialect == "vllm-router":
        return {**_OWN, "remote": Place("STORAGE", "REMOTE", pool)}
    # Dynamo ignores blocks that a pool owns; llm-d documents what device and host memory are worth.
    return _OWN if dialect == "dynamo" else _HOST
