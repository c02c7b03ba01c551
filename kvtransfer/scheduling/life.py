"""How long a chunk may live in stores, as the requests ask that have it. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Offered(NamedTuple):
    """A chunk that is to be put, and for how long."""

    slot: int
    key: str
    ttl_s: int | None
    """Seconds; None: as long as the store is set to."""


def longer(one: int | None, other: int | None) -> int | None:
    """Return the longer life of two, in seconds; None, which no request has limited, is longest."""
    return None if one is None or other is None else max(one, other)
