"""Reads and writes entries in a Redis Cluster, where the halves of one lie on different nodes.

No MULTI spans both halves: a writer puts the payload first, and then the record, which commits it.
A reader that comes in between finds half an entry, which is a miss; the record's tag shows whether
both halves were put together. A node that fails is a miss for its keys only.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

from redis.exceptions import AskError, ConnectionError, RedisError

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.circuit_breaker import BreakerSettings
from kvtransfer.stores.redis import commands
from kvtransfer.stores.redis.causes import told
from kvtransfer.stores.redis.cluster_exists import present
from kvtransfer.stores.redis.commands import DAMAGE, Found, payload_name, record_name
from kvtransfer.stores.redis.nodes.cluster_nodes import ClusterNodes
from kvtransfer.stores.redis.wire.batch import Batch
from kvtransfer.stores.redis.wire.limits import OversizedReplyError
from kvtransfer.stores.redis.wire.sliced import SlicedValue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.stores.redis.servers import Begin
    from kvtransfer.stores.redis.url import RedisUrl
    from kvtransfer.stores.seals.seal import Sealed

_NODES_AT_ONCE = 16


class Cluster:
    """The nodes of a cluster; see :class:`kvtransfer.stores.redis.servers.Servers`."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._nodes = ClusterNodes(url)
        self._threads = ThreadPoolExecutor(_NODES_AT_ONCE, "kvtransfer-cluster")

    @property
    def is_far(self) -> bool:
        """See :class:`Servers`; whether any node is far away."""
        return self._nodes.are_far

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Servers`; each node has a breaker of its own, too."""
        return BreakerSettings()

    def open_breakers(self) -> int:
        """See :class:`Servers`."""
        return self._nodes.open_breakers()

    def begin(self) -> float:
        """See :class:`Servers`; waits for the map of hash slots."""
        deadline_s = time.monotonic() + self._url.timeout_s
        with self._failing(StoreError):
            self._nodes.wait(deadline_s)
        return deadline_s

    def contain(self, keys: Sequence[str], deadline_s: float) -> list[bool]:
        """See :class:`Servers`; a node that fails holds no key."""
        names = [(record_name(key), payload_name(key)) for key in keys]
        with self._failing():
            asked = [name for both in names for name in both]
            there = present(self._nodes, self._threads, asked, deadline_s)
        return [record in there and payload in there for record, payload in names]

    def probe(self, key: str, ttl_s: int | None, deadline_s: float) -> Found:
        """See :class:`Servers`."""
        name = payload_name(key)
        with self._failing():
            batch = Batch([*commands.length(name), *commands.expire(name, ttl_s)])
            length, *expired = self._nodes.execute(name, batch, deadline_s)
            commands.all_checked(expired)
            fields = self._fields(key, ttl_s, deadline_s)
            return Found(fields, commands.length_of(length))

    def read(
        self, key: str, buffer: memoryview, ttl_s: int | None, deadline_s: float, begin: Begin
    ) -> Found:
        """See :class:`Servers`."""
        name = payload_name(key)
        head = [*commands.length(name), *commands.expire(name, ttl_s)]
        with self._failing():
            fields = self._fields(key, ttl_s, deadline_s)
            batch = Batch(head, SlicedValue(name, buffer, 0, lambda _: begin(fields)))
            length, *rest = self._nodes.execute(name, batch, deadline_s)
            commands.all_checked(rest)
            is_filled = all(reply is True for reply in rest[len(head) - 1 :])
            return Found(fields, commands.length_of(length), is_filled)

    def write(self, key: str, sealed: Sealed, ttl_s: int | None, deadline_s: float) -> None:
        """See :class:`Servers`."""
        record, name = record_name(key), payload_name(key)
        written = [
            commands.unlink(record),
            commands.set_record(record, sealed),
            *commands.expire(record, ttl_s),
        ]
        with self._failing():
            put = Batch([commands.set_payload_for(name, sealed, ttl_s)])
            commands.refuse_errors(self._nodes.execute(name, put, deadline_s))
            commit = Batch(commands.in_one(written))
            commands.refuse_errors(self._nodes.execute(record, commit, deadline_s))

    def remove(self, key: str, deadline_s: float) -> None:
        """See :class:`Servers`."""
        with self._failing():
            for name in (record_name(key), payload_name(key)):
                batch = Batch([commands.unlink(name)])
                commands.refuse_errors(self._nodes.execute(name, batch, deadline_s))

    def remove_all(self, keys: Sequence[str], deadline_s: float) -> None:
        """See :class:`Servers`; asks each node once for all that it holds."""
        names = [name for key in keys for name in (record_name(key), payload_name(key))]
        with self._failing():
            by_node = self._nodes.by_address(names, deadline_s)
            if sum(map(len, by_node.values())) < len(names):
                raise ConnectionError("no node serves the slot of an entry")
            for address, here in by_node.items():
                batch = Batch([commands.unlink(name) for name in here])
                replies = self._nodes.execute_at(address, batch, deadline_s)
                moved = [n for n, it in zip(here, replies, strict=True) if isinstance(it, AskError)]
                for name in moved:
                    self._nodes.execute(name, Batch([commands.unlink(name)]), deadline_s)
                commands.refuse_errors([it for it in replies if not isinstance(it, AskError)])

    def execute(self, name: bytes, batch: Batch, deadline_s: float) -> list[object] | None:
        """See :class:`Servers`."""
        with self._failing():
            try:
                replies = self._nodes.execute(name, batch, deadline_s)
            except OversizedReplyError:
                return None
            commands.refuse_errors(replies)
            return replies

    def records(self) -> Iterator[tuple[bytes, Mapping[str, str]]]:
        """See :class:`Servers`; fails where a node fails."""
        with self._failing():
            yield from self._nodes.records(self.begin)

    def payloads(self) -> Iterator[list[str]]:
        """See :class:`Servers`; fails where a node fails."""
        with self._failing():
            yield from self._nodes.payloads(self.begin)

    def infos(self) -> Mapping[str, Mapping[str, str]]:
        """See :class:`Servers`; by host and port, and fails where a node fails."""
        with self._failing():
            return dict(self._nodes.infos(self.begin))

    def close(self) -> None:
        """See :class:`Servers`."""
        self._threads.shutdown()
        self._nodes.close()

    def _fields(self, key: str, ttl_s: int | None, deadline_s: float) -> Mapping[str, str] | None:
        """Return the fields of the record of ``key``; None for a value that can't be one."""
        name = record_name(key)
        batch = Batch([*commands.fields(name), *commands.expire(name, ttl_s)])
        try:
            fields, *expired = self._nodes.execute(name, batch, deadline_s)
        except OversizedReplyError:
            return DAMAGE.fields
        commands.all_checked(expired)
        return commands.fields_of(fields)

    @contextmanager
    def _failing(self, kind: type[StoreError] = PartError) -> Iterator[None]:
        """Raise ``kind`` for an error of redis-py; its text holds no secret."""
        try:
            yield
        except RedisError as error:
            raise kind(told(error, self._url)) from None
