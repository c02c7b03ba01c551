"""Keeps entries in Redis or Valkey, on one server at a time or in a cluster.

An entry is two values: under the base key a hash with the fields of its record, and under the base
key + ``_bytes`` its payload. The server may evict one of them alone; the other is then a miss. A
reader needs no MULTI: the record's tag shows whether the payload was put with it.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Self

from kvtransfer.stores.expected_puts import ExpectedPuts
from kvtransfer.stores.interface import FAR_FETCHES, Store, StoredEntry, any_length
from kvtransfer.stores.record import ChunkRecord
from kvtransfer.stores.redis.arrival import Arrival
from kvtransfer.stores.redis.cluster import Cluster
from kvtransfer.stores.redis.feed import RedisFeed
from kvtransfer.stores.redis.ledger import RedisLedger
from kvtransfer.stores.redis.one_server import OneServer
from kvtransfer.stores.redis.url import read_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.stores.circuit_breaker import BreakerSettings
    from kvtransfer.stores.feeds.interface import Feed
    from kvtransfer.stores.interface import LengthOf, Serves
    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.record import ChunkFacts
    from kvtransfer.stores.redis.commands import Found
    from kvtransfer.stores.redis.servers import Servers
    from kvtransfer.stores.redis.url import RedisUrl
    from kvtransfer.stores.settings import StoreSettings


class RedisStore(Store):
    """Keeps entries on the servers that a URL names.

    Raises:
        ConfigError: the URL is malformed or has an option that redis-py doesn't know.
    """

    keeps_quotas = True

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> Self:
        """See :class:`Store`.

        ``url`` is ``redis://``, ``rediss://`` (TLS), ``unix://``, ``redis-sentinel://`` or
        ``redis-cluster://`` with user, password, database and ``?`` options as redis-py's
        ``from_url`` reads them; an option there wins over ``settings``.
        """
        return cls(url, settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        """See :class:`Store`."""
        read_url(url, settings)

    @classmethod
    def open_feed(cls, url: str, settings: StoreSettings) -> Feed:
        """See :class:`Store`."""
        return RedisFeed(servers_of(read_url(url, settings)), settings.ttl_s)

    @classmethod
    def open_ledger(cls, url: str, settings: StoreSettings) -> Ledger:
        """See :class:`Store`."""
        return RedisLedger(servers_of(read_url(url, settings)))

    def __init__(self, url: str, settings: StoreSettings) -> None:
        self._servers = servers_of(read_url(url, settings))
        self._ttl_s = settings.ttl_s
        self._renewed_ttl_s = settings.ttl_s
        self._hit_ttl_s = settings.hit_ttl_s
        self._seals = settings.seals
        self._only_reads = settings.only_reads
        self._expected = ExpectedPuts()

    @property
    def parallelism(self) -> int:
        """See :class:`Store`."""
        return FAR_FETCHES if self._servers.is_far else 1

    @property
    def breaker_settings(self) -> BreakerSettings:
        """See :class:`Store`."""
        return self._servers.breaker_settings

    def open_breakers(self) -> int:
        """See :class:`Store`."""
        return self._servers.open_breakers()

    def contains(self, keys: Sequence[str], length_of: LengthOf = any_length) -> list[bool]:
        """See :class:`Store`."""
        return self._servers.contain(keys, self._servers.begin()) if keys else []

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        """See :class:`Store`."""
        deadline_s = self._servers.begin()
        arrival = Arrival(self._seals, key, tenant)
        found = self._servers.read(key, buffer, self._hit_ttl_s, deadline_s, arrival.begin)
        record = arrival.verified(found)
        if record is not None:
            return record
        if not (found.is_nothing or self._only_reads):
            # On one server, writers put both halves at once. In a cluster a writer may be between
            # its two, and its record then stays alone: a miss until the entry is put again.
            self._servers.remove(key, deadline_s)
        return None

    def renew(self, key: str, serves: Serves) -> bool:
        """See :class:`Store`."""
        if self._expected.take(key):
            return False
        found = self._servers.probe(key, self._renewed_ttl_s, self._servers.begin())
        return self._seals.keep(_record(key, found), serves)

    def living_for(self, ttl_s: int) -> Self:
        """See :class:`Store`; not longer than the ``ttl_s`` of its settings."""
        living = copy(self)
        living._ttl_s = ttl_s if self._ttl_s is None else min(ttl_s, self._ttl_s)
        living._renewed_ttl_s = None
        return living

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        """See :class:`Store`."""
        deadline_s = self._servers.begin()
        with self._seals.sealed(key, facts, payload, tenant) as sealed:
            self._servers.write(key, sealed, self._ttl_s, deadline_s)
        return True

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`Store`; one round trip for all of them."""
        held = zip(keys, self.contains(keys), strict=True)
        self._expected.learn(key for key, is_held in held if not is_held)

    def entries(self) -> Iterator[StoredEntry]:
        """See :class:`Store`; reads records without looking for their payloads."""
        for name, fields in self._servers.records():
            record = ChunkRecord.from_fields(fields)
            if record is not None and record.identity.key.encode() == name:
                yield StoredEntry.of(record)

    def stat(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        return _record(key, self._servers.probe(key, None, self._servers.begin()))

    def record_of(self, key: str) -> ChunkRecord | None:
        """See :class:`Store`."""
        found = self._servers.probe(key, None, self._servers.begin())
        return ChunkRecord.read(found.fields or {}, key)

    def orphans(self) -> Iterator[str]:
        """See :class:`Store`; each is looked at again, since a writer may just have put the rest."""
        for keys in self._servers.payloads():
            held = self._servers.contain(keys, self._servers.begin()) if keys else []
            for key, is_held in zip(keys, held, strict=True):
                if not is_held and self._is_orphan(key):
                    yield key

    def remove(self, key: str) -> None:
        """See :class:`Store`."""
        self._servers.remove(key, self._servers.begin())

    def close(self) -> None:
        """See :class:`Store`."""
        self._servers.close()

    def _is_orphan(self, key: str) -> bool:
        found = self._servers.probe(key, None, self._servers.begin())
        return found.fields == {} and bool(found.payload_bytes)


def servers_of(url: RedisUrl) -> Servers:
    """Make the servers that ``url`` names; nothing connects yet."""
    return Cluster(url) if url.topology == "cluster" else OneServer(url)


def _record(key: str, found: Found) -> ChunkRecord | None:
    """Return the record of ``key``, if the payload is as long as it says; None otherwise."""
    record = ChunkRecord.read(found.fields or {}, key)
    fits = record is not None and record.identity.nbytes == found.payload_bytes
    return record if fits else None
