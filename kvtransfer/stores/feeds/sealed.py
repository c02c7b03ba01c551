"""Seals the payloads of a feed as the payloads of entries are sealed, and drops those that aren't.

With a key, payloads are authentic, or encrypted with a key that each topic has for itself. A sealed
payload is the length of its record, the record as JSON, and the payload as the seal returned it.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import base_key
from kvtransfer.stores.record import ChunkFacts, ChunkRecord

if TYPE_CHECKING:
    from kvtransfer.stores.feeds.interface import Feed, FeedReader
    from kvtransfer.stores.seals.in_use import Seals

_LENGTH = struct.Struct("<H")


class SealedFeed:
    """Seals what is appended to ``feed``, which it owns; see :class:`Feed`."""

    def __init__(self, feed: Feed, seals: Seals) -> None:
        self._feed = feed
        self._seals = seals

    def append(self, topic: str, payload: bytes) -> None:
        """See :class:`Feed`."""
        facts, flat = _facts(len(payload)), memoryview(payload)
        with self._seals.sealed(_key(topic), facts, flat, "", topic=topic) as sealed:
            record = json.dumps(sealed.record().to_fields()).encode()
            self._feed.append(topic, _LENGTH.pack(len(record)) + record + bytes(sealed.payload))

    def reader(self, topic: str) -> SealedFeedReader:
        """See :class:`Feed`."""
        return SealedFeedReader(self._feed.reader(topic), self._seals, topic)

    def close(self) -> None:
        """See :class:`Feed`."""
        self._feed.close()


class SealedFeedReader:
    """Reads payloads of ``topic`` that one of ``seals`` has sealed; see :class:`FeedReader`."""

    def __init__(self, reader: FeedReader, seals: Seals, topic: str) -> None:
        self._reader = reader
        self._seals = seals
        self._topic = topic

    def read(self, most_bytes: int) -> list[bytes]:
        """See :class:`FeedReader`; forged and damaged payloads are left out."""
        opened = [self._opened(sealed) for sealed in self._reader.read(most_bytes)]
        return [payload for payload in opened if payload is not None]

    def _opened(self, sealed: bytes) -> bytes | None:
        """Return what was sealed; None for anything that our seals haven't sealed for this topic."""
        if len(sealed) < _LENGTH.size:
            return None
        begin = _LENGTH.size + _LENGTH.unpack_from(sealed)[0]
        record = _record(sealed[_LENGTH.size : begin], _key(self._topic))
        payload = bytearray(sealed[begin:])
        if record is None or not record.says(_facts(len(payload)), len(payload)):
            return None
        is_genuine = self._seals.open_whole(record, memoryview(payload), self._topic)
        return bytes(payload) if is_genuine else None


def _key(topic: str) -> str:
    """Return a base key that no entry has."""
    return base_key("feed", 1, 0, topic)


def _facts(nbytes: int) -> ChunkFacts:
    return ChunkFacts("feed", "feed", "uint8", (nbytes,), 0)


def _record(text: bytes, key: str) -> ChunkRecord | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return ChunkRecord.read(fields, key) if isinstance(fields, dict) else None
