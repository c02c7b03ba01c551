"""Damages entries, as a faulty memory or a careless person would."""

from __future__ import annotations

from redis import Redis

_PAYLOAD = "_bytes"


def damage(url: str, password: str) -> str:
    """Change bytes of one payload, remove another's record, and a third payload; return the first key.

    Raises:
        ValueError: the store holds fewer than three entries.
    """
    with Redis.from_url(url, password=password, decode_responses=True) as client:
        found: list[str] = sorted(client.scan_iter(match=f"*{_PAYLOAD}"))
        if len(found) < 3:
            raise ValueError(f"{url} holds {len(found)} entries, and three are to be damaged")
        changed, without_record, gone = (key.removesuffix(_PAYLOAD) for key in found[:3])
        client.setrange(f"{changed}{_PAYLOAD}", 1000, "damage")
        client.delete(without_record, f"{gone}{_PAYLOAD}")
    return changed
