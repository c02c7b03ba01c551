"""Reads and writes entries on one server at a time; a writer puts both halves in one MULTI."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import AskError, OutOfMemoryError, RedisError

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.circuit_breaker import BreakerSettings
from kvtransfer.stores.redis import commands
from kvtransfer.stores.redis.causes import told
from kvtransfer.stores.redis.commands import DAMAGE, Found, payload_name, record_name
from kvtransfer.stores.redis.listing import listed, payload_pages
from kvtransfer.stores.redis.nodes.sentinel import SentinelPool
from kvtransfer.stores.redis.wire.batch import Batch, CountBatch
from kvtransfer.stores.redis.wire.guarded_pool import FAILOVER
from kvtransfer.stores.redis.wire.limits import OversizedReplyError
from kvtransfer.stores.redis.wire.pool import ConnectionPool
from kvtransfer.stores.redis.wire.sliced import SlicedValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.stores.redis.servers import Begin
    from kvtransfer.stores.redis.url import RedisUrl
    from kvtransfer.stores.redis.wire.batch import Command
    from kvtransfer.stores.redis.wire.read_buffer import Take
    from kvtransfer.stores.seals.seal import Sealed


def pool_of(url: RedisUrl) -> ConnectionPool | SentinelPool:
    """Make the pool of connections to the server that ``url`` or its Sentinels name."""
    if url.topology == "sentinel":
        return SentinelPool(url)
    host = url.hosts[0] if url.hosts else None
    return ConnectionPool(partial(url.open_connection, host), url.connections)


class OneServer:
    """A server, or the master of a service; see :class:`kvtransfer.stores.redis.servers.Servers`."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._pool = pool_of(url)

    @property
    def is_far(self) -> bool:
        """See :class:`Servers`."""
        return self._pool.is_far

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Servers`; behind Sentinel a replica takes over within seconds."""
        return FAILOVER if self._url.topology == "sentinel" else BreakerSettings()

    def open_breakers(self) -> int:
        """See :class:`Servers`; one server has no parts."""
        return 0

    def begin(self) -> float:
        """See :class:`Servers`."""
        return time.monotonic() + self._url.timeout_s

    def contain(self, keys: Sequence[str], deadline_s: float) -> list[bool]:
        """See :class:`Servers`."""
        counts = self._execute(CountBatch(commands.exists_both(keys)), deadline_s)
        return [count == 2 for count in counts]

    def probe(self, key: str, ttl_s: int | None, deadline_s: float) -> Found:
        """See :class:`Servers`."""
        with self._failing():
            try:
                fields, length, *expired = self._pool.execute(Batch(_probe(key, ttl_s)), deadline_s)
            except OversizedReplyError:
                return DAMAGE
            commands.all_checked(expired)
            return Found(commands.fields_of(fields), commands.length_of(length))

    def read(
        self, key: str, buffer: memoryview, ttl_s: int | None, deadline_s: float, begin: Begin
    ) -> Found:
        """See :class:`Servers`."""
        head = _probe(key, ttl_s)
        fields: Mapping[str, str] | None = None

        def begun(replies: Sequence[object]) -> Take:
            nonlocal fields
            fields = commands.fields_of(replies[0])
            return begin(fields)

        batch = Batch(head, SlicedValue(payload_name(key), buffer, 1, begun))
        with self._failing():
            try:
                _, length, *rest = self._pool.execute(batch, deadline_s)
            except OversizedReplyError:
                return DAMAGE
            commands.all_checked(rest[: len(head) - 2])
            is_filled = all(reply is True for reply in rest[len(head) - 2 :])
            return Found(fields, commands.length_of(length), is_filled)

    def write(self, key: str, sealed: Sealed, ttl_s: int | None, deadline_s: float) -> None:
        """See :class:`Servers`."""
        record, name = record_name(key), payload_name(key)
        written = [
            commands.unlink(record),
            commands.set_payload(name, sealed),
            commands.set_record(record, sealed),
            *commands.expire(record, ttl_s),
            *commands.expire(name, ttl_s),
        ]
        replies = self._execute(Batch(commands.in_one(written)), deadline_s)
        with self._failing():
            commands.refuse_errors(replies)

    def remove(self, key: str, deadline_s: float) -> None:
        """See :class:`Servers`."""
        self.remove_all([key], deadline_s)

    def remove_all(self, keys: Sequence[str], deadline_s: float) -> None:
        """See :class:`Servers`."""
        removed = [commands.unlink(record_name(key), payload_name(key)) for key in keys]
        replies = self._execute(Batch(removed), deadline_s)
        with self._failing():
            commands.refuse_errors(replies)

    def execute(self, name: bytes, batch: Batch, deadline_s: float) -> list[object] | None:
        """See :class:`Servers`; the server holds every name."""
        with self._failing():
            try:
                replies = self._pool.execute(batch, deadline_s)
            except OversizedReplyError:
                return None
            commands.refuse_errors(replies)
            return replies

    def records(self) -> Iterator[tuple[bytes, Mapping[str, str]]]:
        """See :class:`Servers`."""
        with self._failing():
            yield from listed(lambda batch: self._pool.execute(batch, self.begin()))

    def payloads(self) -> Iterator[list[str]]:
        """See :class:`Servers`."""
        with self._failing():
            yield from payload_pages(lambda batch: self._pool.execute(batch, self.begin()))

    def infos(self) -> Mapping[str, Mapping[str, str]]:
        """See :class:`Servers`; by the URL, without its secrets."""
        replies = self._execute(Batch([commands.info()]), self.begin())
        return {self._url.shown: commands.fields_of_info(*replies)}

    def close(self) -> None:
        """See :class:`Servers`."""
        self._pool.close()

    def _execute(self, batch: Batch, deadline_s: float) -> list[object]:
        with self._failing():
            return self._pool.execute(batch, deadline_s)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Raise :class:`StoreError` for an error of redis-py; its text holds no secret."""
        try:
            yield
        except AskError:
            raise StoreError(
                f"{self._url.shown}: a cluster's node; write redis-cluster://"
            ) from None
        except RedisError as error:
            # A full server takes nothing, but still serves what it holds.
            kind = PartError if isinstance(error, OutOfMemoryError) else StoreError
            raise kind(told(error, self._url)) from None


def _probe(key: str, ttl_s: int | None) -> list[Command]:
    """Ask for fields and length, then renew both halves."""
    record, name = record_name(key), payload_name(key)
    return [
        *commands.fields(record),
        *commands.length(name),
        *commands.expire(record, ttl_s),
        *commands.expire(name, ttl_s),
    ]
