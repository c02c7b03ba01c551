"""How much one reply may hold before it is given up: a server can be anybody's."""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError


@dataclass(frozen=True)
class ReplyLimits:
    """Of a reply as a whole, whatever is nested in it; payloads that fill our memory are apart."""

    total_bytes: int
    elements: int
    depth: int


ABOUT_ENTRIES = ReplyLimits(total_bytes=1 << 20, elements=1024, depth=8)
"""A record has fifteen short fields."""
ABOUT_SERVERS = ReplyLimits(total_bytes=16 << 20, elements=1 << 20, depth=8)
"""A cluster whose slots are scattered one by one lists 16384 ranges, each with its replicas."""


class OversizedReplyError(RedisError):
    """A reply exceeds its limits; the rest of it was not read, so its connection is closed."""
