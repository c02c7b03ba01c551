"""Reads one of the chunks that the first vLLM left in Redis, with a plain Redis client."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

_PAYLOAD = "_bytes"


@dataclass(frozen=True)
class Entry:
    """A chunk in Redis: a hash under the base key, and its bytes under the base key + ``_bytes``."""

    key: str
    fields: dict[str, str]
    payload_bytes: int
    entries: int
    """How many chunks the database holds."""


def read_entry(url: str) -> Entry | None:
    """Return the first chunk by name; None if there is none."""
    with Redis.from_url(url, decode_responses=True) as client:
        payload_keys = sorted(client.scan_iter(match=f"*{_PAYLOAD}"))
        if not payload_keys:
            return None
        key = payload_keys[0].removesuffix(_PAYLOAD)
        fields = client.hgetall(key)
        return Entry(key, fields, client.strlen(payload_keys[0]), len(payload_keys))
