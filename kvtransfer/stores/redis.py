"""Chunks in Redis or Valkey: the only file that imports their client.

An entry is two values: under the base key a hash with the fields of its record, under the base
key + ``_bytes`` its payload. Each call is one MULTI, so on a single node readers and writers see
both halves of one moment. Eviction still takes the halves apart; a lone one is a miss.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import BlockingConnectionPool, PythonRespSerializer
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores.record import ChunkRecord, is_intact, whole
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings

# 1 MiB instead of 64 KiB halves the client's CPU seconds for large replies.
_READ_BYTES = 1 << 20
# Arguments above this are sent from where they lie, not joined with their neighbours.
_JOIN_BYTES = 6000


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
        self._pool = _open_pool(url, settings)
        self._client = redis.Redis(connection_pool=self._pool)

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`."""
        with self._errors_mapped(), self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key, payload_key(key))
            return [halves == 2 for halves in pipe.execute()]

    def get_into(self, key: str, payload: memoryview) -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        with self._errors_mapped(), self._client.pipeline() as pipe:
            pipe.hgetall(key)
            pipe.get(payload_key(key))
            fields, held = _replies(pipe)
        if is_intact(key, self._chunk, _text(fields), held):
            target[:] = held
            return True
        if fields != {} or held is not None:
            self._remove(key)
        return False

    def put(self, key: str, payload: memoryview) -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        source = whole(payload, self._chunk)
        if self._holds(key):
            return True
        record = ChunkRecord.of(key, self._chunk, source, created=int(time.time()))
        with self._errors_mapped(), self._client.pipeline() as pipe:
            pipe.unlink(key)
            pipe.set(payload_key(key), source, ex=self._ttl_s)
            pipe.hset(key, items=list(chain.from_iterable(record.to_fields().items())))
            if self._ttl_s is not None:
                pipe.expire(key, self._ttl_s)
            pipe.execute()
        return True

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        self._pool.disconnect()

    def _holds(self, key: str) -> bool:
        """Whether the entry is there, unverified; if so, with its time to live begun anew."""
        with self._errors_mapped(), self._client.pipeline() as pipe:
            pipe.hgetall(key)
            pipe.strlen(payload_key(key))
            if self._ttl_s is not None:
                pipe.expire(key, self._ttl_s)
                pipe.expire(payload_key(key), self._ttl_s)
            fields, nbytes, *_ = _replies(pipe)
        record = ChunkRecord.from_fields(_text(fields) or {})
        right_length = nbytes == self._chunk.nbytes
        return right_length and record is not None and record.matches(key, self._chunk)

    def _remove(self, key: str) -> None:
        # The damage was seen in one MULTI, so this is no writer half way. Should a writer have
        # mended the entry since, both good halves go at once: a miss, put again next time.
        with self._errors_mapped():
            self._client.unlink(key, payload_key(key))

    @contextmanager
    def _errors_mapped(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            password = self._pool.connection_kwargs.get("password")
            cause = f"{type(error).__name__}: {error}"
            if password and password in cause:  # some servers and proxies echo AUTH
                cause = cause.replace(password, "***")
                raise StoreError(f"{self._address}: {cause}") from None
            raise StoreError(f"{self._address}: {cause}") from error


def payload_key(key: str) -> str:
    """Where the payload of the base key ``key`` lies."""
    return f"{key}_bytes"


def _replies(pipe: redis.client.Pipeline) -> list[Any]:
    """The replies, None for a value of the wrong type: somebody else's, so damage to us."""
    replies = pipe.execute(raise_on_error=False)
    for i, reply in enumerate(replies):
        if isinstance(reply, redis.ResponseError):
            if not str(reply).startswith("WRONGTYPE"):
                raise reply
            replies[i] = None
    return replies


def _text(fields: dict[bytes, bytes] | None) -> dict[str, str] | None:
    """None for None and for no fields at all; strange bytes become what no record holds."""
    if not fields:
        return None
    return {name.decode(errors="replace"): fields[name].decode(errors="replace") for name in fields}


def _open_pool(url: str, settings: StoreSettings) -> BlockingConnectionPool:
    try:
        _check(url)
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=settings.connections,
            timeout=settings.timeout_s,
            socket_timeout=settings.timeout_s,
            socket_connect_timeout=settings.timeout_s,
            socket_read_size=_READ_BYTES,
            # Once more when a connection broke; a timeout isn't worth waiting for twice.
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
            # Sends a memoryview as it is; hiredis' packer copies it twice, 3 s of CPU for a GB.
            command_packer=PythonRespSerializer(_JOIN_BYTES, _encode),
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


def _encode(value: bytes | memoryview | str | float) -> bytes | memoryview:
    return value if isinstance(value, bytes | memoryview) else str(value).encode()


def _check(url: str) -> None:
    """ValueError for what redis-py would silently read otherwise than it is written."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("no path")
    if parts.scheme != "unix" and not parts.path.strip("/").isdigit() and parts.path.strip("/"):
        raise ValueError("database is no number")
    if "decode_responses" in parts.query:
        raise ValueError("payloads are bytes")
