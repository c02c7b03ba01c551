"""Packs the commands of a feed, which is a Redis stream for each topic, and reads replies. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.stores.redis.commands import checked, expire
from kvtransfer.stores.redis.wire.batch import StreamBatch, command

if TYPE_CHECKING:
    from kvtransfer.stores.redis.wire.batch import Batch

BEGIN = b"0-0"
"""An id before that of every payload."""

_FIELD = b"p"
_ID = re.compile(rb"[0-9]{1,20}-[0-9]{1,20}")
# About as many are kept: the server drops some at once.
_MOST_PAYLOADS = b"1024"


class Appended(NamedTuple):
    """A payload in a stream."""

    id: bytes
    payload: bytes


def stream_name(topic: str) -> bytes:
    """Name the stream of ``topic``; base keys have ``@`` in them, so no entry is called that."""
    return f"kvtransfer:feed:{topic}".encode()


def append(name: bytes, payload: bytes, ttl_s: int) -> Batch:
    """Append ``payload`` to the stream ``name``, which then lives for ``ttl_s``."""
    limits = (b"MAXLEN", b"~", _MOST_PAYLOADS)
    added = command(b"XADD", name, *limits, b"*", _FIELD, payload)
    return StreamBatch([added, *expire(name, ttl_s)])


def newest(name: bytes, before: bytes | None, count: int) -> Batch:
    """Ask for the newest payloads before the id ``before``, newest first."""
    end = b"+" if before is None else b"(" + before
    return StreamBatch([command(b"XREVRANGE", name, end, b"-", b"COUNT", b"%d" % count)])


def next_after(name: bytes, last: bytes | None, count: int) -> Batch:
    """Ask for the oldest payloads behind the id ``last``, oldest first."""
    begin = b"-" if last is None else b"(" + last
    return StreamBatch([command(b"XRANGE", name, begin, b"+", b"COUNT", b"%d" % count)])


def appended(reply: object) -> list[Appended]:
    """Read the reply to the last two; an entry without a payload of ours has an empty one.

    Raises:
        ResponseError: the server has answered an error.
    """
    entries = checked(reply)
    read = [_entry(each) for each in entries] if isinstance(entries, list) else []
    return [each for each in read if each is not None]


def _entry(entry: object) -> Appended | None:
    """Read one entry; None for what a stream doesn't hold."""
    if not isinstance(entry, list) or len(entry) != 2:
        return None
    entry_id, fields = entry
    if not isinstance(entry_id, bytes) or not _ID.fullmatch(entry_id):
        return None
    is_ours = isinstance(fields, list) and len(fields) == 2 and fields[0] == _FIELD
    payload = fields[1] if is_ours else b""
    return Appended(entry_id, payload if isinstance(payload, bytes) else b"")
