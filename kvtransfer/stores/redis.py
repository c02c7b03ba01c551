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
from urllib.parse import urlsplit

import redis
from redis.connection import BlockingConnectionPool
from redis.maint_notifications import MaintNotificationsConfig

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import redis_talk
from kvtransfer.stores.record import ChunkRecord, whole
from kvtransfer.stores.redis_wire import WireConnection, WireSSLConnection, WireUnixConnection
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings
    from kvtransfer.stores.redis_talk import Found
    from kvtransfer.stores.redis_wire import Wire

T = TypeVar("T")

_CONNECTIONS = {"redis": WireConnection, "rediss": WireSSLConnection, "unix": WireUnixConnection}


class RedisStore:
    """Payloads of one format in the database that ``url`` names, on pooled connections.

    ``url`` is ``redis://``, ``rediss://`` (TLS) or ``unix://`` with user, password, database and
    ``?`` options as redis-py's ``from_url`` reads them; an option there wins over ``settings``.

    Raises:
        ConfigError: the URL is malformed or has an option that redis-py doesn't know.
    """

    def __init__(self, url: str, chunk: ChunkFormat, settings: StoreSettings) -> None:
        self._address = masked(url)
        self._chunk = chunk
        self._ttl_s = settings.ttl_s
        self._timeout_s = settings.timeout_s
        self._pool = _open_pool(url, settings)

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`."""
        if not keys:
            return []
        counts = self._exchange(partial(redis_talk.count_halves, keys), self._deadline_s())
        return [count == 2 for count in counts]

    def get_into(self, key: str, payload: memoryview) -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        deadline_s = self._deadline_s()
        found = self._exchange(partial(redis_talk.read_entry, key, target), deadline_s)
        record = self._record(key, found)
        if found.filled and record is not None and record.is_of(target):
            return True
        if not found.is_nothing:
            # No writer half way, for those put both halves at once. Should one have mended the
            # entry since, both good halves go: a miss, put again next time.
            self._exchange(partial(redis_talk.remove_entry, key), deadline_s)
        return False

    def put(self, key: str, payload: memoryview) -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        source = whole(payload, self._chunk)
        deadline_s = self._deadline_s()
        found = self._exchange(partial(redis_talk.probe_entry, key, self._ttl_s), deadline_s)
        if found.payload_bytes == len(source) and self._record(key, found) is not None:
            return True
        record = ChunkRecord.of(key, self._chunk, source, created=int(time.time()))
        fields = record.to_fields()
        write = partial(redis_talk.write_entry, key, source, fields, self._ttl_s)
        self._exchange(write, deadline_s)
        return True

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        self._pool.disconnect()

    def _record(self, key: str, found: Found) -> ChunkRecord | None:
        """Of a chunk of ours under ``key``; None for anything else."""
        record = ChunkRecord.from_fields(found.fields or {})
        return record if record is not None and record.matches(key, self._chunk) else None

    def _deadline_s(self) -> float:
        """Of a call that begins now, by ``time.monotonic``."""
        return time.monotonic() + self._timeout_s

    def _exchange(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        """``talk`` over a pooled connection, once more when that one turns out to be broken.

        Raises:
            StoreError: whatever the cause; its text holds no secret.
        """
        try:
            try:
                return self._exchange_once(talk, deadline_s)
            except redis.ConnectionError:
                return self._exchange_once(talk, deadline_s)
        except (redis.RedisError, OSError) as error:
            raise self._mapped(error) from None

    def _exchange_once(self, talk: Callable[[Wire], T], deadline_s: float) -> T:
        connection: Wire = self._pool.get_connection()
        try:
            return connection.exchange(talk, deadline_s)
        finally:
            self._pool.release(connection)

    def _mapped(self, error: Exception) -> StoreError:
        cause = f"{type(error).__name__}: {error}"
        password = self._pool.connection_kwargs.get("password")
        if password:  # some servers and proxies echo AUTH
            cause = cause.replace(password, "***")
        return StoreError(f"{self._address}: {cause}")


def _open_pool(url: str, settings: StoreSettings) -> BlockingConnectionPool:
    try:
        _check(url)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.connections,
            timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            connection_class=_CONNECTIONS[urlsplit(url).scheme],
            # They would stretch our timeouts, and let a connection with stale data be used again.
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        pool.connection_class(**pool.connection_kwargs)  # unconnected: refuses bad options now
    except (ValueError, TypeError, redis.RedisError):
        # Their texts may quote a part of the password, so the cause is not passed on.
        raise ConfigError(
            f"store URL {masked(url)!r} is malformed: write redis://user:password@host:6379/0 with "
            "special characters percent-encoded, and only options that redis-py knows"
        ) from None
    return pool


def _check(url: str) -> None:
    """ValueError for what redis-py would silently read otherwise than it is written."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("no path")
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ValueError("database is no number")
    if "decode_responses" in parts.query:
        raise ValueError("payloads are bytes")
