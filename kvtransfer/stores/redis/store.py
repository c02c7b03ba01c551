"""Chunks in Redis or Valkey.

An entry is two values: under the base key a hash with the fields of its record, under the base
key + ``_bytes`` its payload. A writer puts both in one MULTI, so on a single node both halves are
of one moment. Eviction still takes them apart; a lone one is a miss. A reader needs no MULTI: the
record's checksum tells whether the payload is the one that was put with it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from redis.exceptions import AskError, OutOfMemoryError, RedisError

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.record import ChunkRecord, whole
from kvtransfer.stores.redis import talk
from kvtransfer.stores.redis.causes import cause_of
from kvtransfer.stores.redis.credentials import hidden
from kvtransfer.stores.redis.sentinel import Master
from kvtransfer.stores.redis.talk import Found
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire.limits import OversizedReplyError
from kvtransfer.stores.redis.wire.node import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings
    from kvtransfer.stores.redis.url import RedisUrl
    from kvtransfer.stores.redis.wire.connection import Wire

T = TypeVar("T")


class RedisStore:
    """Payloads of one format in the database that ``url`` names, all on one server at a time.

    ``url`` is ``redis://``, ``rediss://`` (TLS), ``unix://`` or ``redis-sentinel://`` with user,
    password, database and ``?`` options as redis-py's ``from_url`` reads them; an option there
    wins over ``settings``.

    Raises:
        ConfigError: the URL is malformed or has an option that redis-py doesn't know.
    """

    def __init__(self, url: str, chunk: ChunkFormat, settings: StoreSettings) -> None:
        self._url = read_url(url, settings)
        self._chunk = chunk
        self._ttl_s = settings.ttl_s
        self._hit_ttl_s = settings.hit_ttl_s
        self._seals = settings.seals
        self._node = _node(self._url)

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`."""
        if not keys:
            return []
        counts = self._exchange(partial(talk.count_halves, keys), self._deadline_s())
        return [count == 2 for count in counts]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        deadline_s = self._deadline_s()
        read = partial(talk.read_entry, key, target, self._hit_ttl_s)
        found = self._found(read, deadline_s)
        record = self._record(key, found)
        if found.filled and record is not None and self._seals.open_whole(record, target, tenant):
            return True
        if not found.is_nothing:
            # No writer half way, for those put both halves at once. Should one have mended the
            # entry since, both good halves go: a miss, put again next time.
            self._exchange(partial(talk.remove_entry, key), deadline_s)
        return False

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        source = whole(payload, self._chunk)
        deadline_s = self._deadline_s()
        found = self._found(partial(talk.probe_entry, key, self._ttl_s), deadline_s)
        if found.payload_bytes == len(source) and self._seals.know(self._record(key, found)):
            return True
        with self._seals.sealed(key, self._chunk, source, tenant) as sealed:
            fields = sealed.record().to_fields()
            write = partial(talk.write_entry, key, sealed.payload, fields, self._ttl_s)
            self._exchange(write, deadline_s)
        return True

    @property
    def is_far(self) -> bool:
        """See :class:`kvtransfer.stores.Distant`."""
        return self._node.is_far

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        self._node.close()

    def _record(self, key: str, found: Found) -> ChunkRecord | None:
        """Of a chunk of ours under ``key``; None for anything else."""
        return ChunkRecord.read(found.fields or {}, key, self._chunk)

    def _deadline_s(self) -> float:
        """Of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._url.timeout_s

    def _found(self, probe: Callable[[Wire], Found], deadline_s: float) -> Found:
        """What ``probe`` finds of an entry; one that can't be ours, for its size, is damage."""
        try:
            return self._exchange(probe, deadline_s)
        except _OversizedError:
            return Found(fields=None, payload_bytes=None)

    def _exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """``talk`` with the server.

        Raises:
            StoreError: whatever the cause; its text holds no secret.
        """
        try:
            return self._node.exchange(talk, deadline_s)
        except AskError:
            raise StoreError(
                f"{self._url.shown}: a cluster's node; write redis-cluster://"
            ) from None
        except RedisError as error:
            cause = hidden(cause_of(error, self._url.shown), self._url.secrets())
            raise _kind(error)(f"{self._url.shown}: {cause}") from None


def _kind(error: RedisError) -> type[StoreError]:
    if isinstance(error, OversizedReplyError):
        return _OversizedError
    # What is full takes nothing, but what it holds can still be had.
    return PartError if isinstance(error, OutOfMemoryError) else StoreError


class _OversizedError(StoreError):
    """A reply was longer than what it is about can be."""


def _node(url: RedisUrl) -> Node | Master:
    if url.topology == "sentinel":
        return Master(url)
    host = url.hosts[0] if url.hosts else None
    return Node(partial(url.open_connection, host), url.connections)
