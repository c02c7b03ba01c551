"""Limits the size of one reply, as a server may be hostile or broken."""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError


@dataclass(frozen=True)
class ReplyLimits:
    """Limits of one reply and all that is nested in it; payloads are not counted."""

    total_bytes: int
    elements: int
    depth: int


ABOUT_ENTRIES = ReplyLimits(total_bytes=1 << 20, elements=1024, depth=8)
"""Limits of replies about entries; a record has fifteen short fields."""
WITH_PAYLOADS = ReplyLimits(total_bytes=8 << 20, elements=1024, depth=8)
"""Limits of replies that hold some payloads of a feed."""
ABOUT_SERVERS = ReplyLimits(total_bytes=16 << 20, elements=1 << 20, depth=8)
"""Limits of replies about servers; a cluster may list 16384 ranges, each with its replicas."""


class OversizedReplyError(RedisError):
    """A reply exceeds its limits; its rest isn't read, so the connection has to be closed."""
