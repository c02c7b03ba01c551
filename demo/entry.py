"""One of the entries that the first vLLM left in Redis, as anybody's client shows it."""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

_PAYLOAD = "_bytes"


@dataclass(frozen=True)
class Entry:
    """A chunk: a hash under the base key, its bytes under the base key + ``_bytes``."""

    key: str
    fields: dict[str, str]
    payload_bytes: int
    entries: int
    """In the whole database."""


def read_entry(url: str) -> Entry | None:
    """The first by name; None where there is none."""
    with Redis.from_url(url, decode_responses=True) as client:
        payload_keys = sorted(client.scan_iter(match=f"*{_PAYLOAD}"))
        if not payload_keys:
            return None
        key = payload_keys[0].removesuffix(_PAYLOAD)
        fields = client.hgetall(key)
        return Entry(key, fields, client.strlen(payload_keys[0]), len(payload_keys))
