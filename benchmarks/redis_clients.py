"""Moves values to and from a Redis server with each client that ``bench_redis`` compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import redis
from redis._parsers import _RESP3Parser
from redis.connection import PythonRespSerializer

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence


class Client(Protocol):
    """Gets and sets values on one connection."""

    def get(self, key: str, target: memoryview) -> object: ...

    def put(self, key: str, payload: bytes) -> object: ...

    def close(self) -> None: ...


class Ours:
    """Uses the store of vLLM's chunks, with record, checksum and verification."""

    def __init__(self, url: str, value_bytes: int, connections: int = 4) -> None:
        chunk = ChunkFormat("opaque:bench", "uint8", (value_bytes,), 1, value_bytes)
        settings = StoreSettings(timeout_s=30.0, connections=connections)
        self._store = open_store(url, chunk, settings)

    def get(self, key: str, target: memoryview) -> None:
        if not self._store.get_into(key, target):
            raise LookupError(f"{key} is missing")

    def put(self, key: str, payload: bytes) -> None:
        self._store.put(key, memoryview(payload))

    def contains(self, keys: Sequence[str]) -> list[bool]:
        return self._store.contains(keys)

    def close(self) -> None:
        self._store.close()


class RedisPy:
    """redis-py as it comes: just the value, which arrives in bytes of its own, unverified."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def get(self, key: str, target: memoryview) -> None:
        if len(self._client.get(value_name(key))) != len(target):
            raise LookupError(f"{key} is missing")

    def put(self, key: str, payload: bytes) -> None:
        self._client.set(value_name(key), payload)

    def contains(self, keys: Sequence[str]) -> list[bool]:
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.exists(key, value_name(key))
            return [count == 2 for count in pipe.execute()]

    def close(self) -> None:
        self._client.close()


def value_name(key: str) -> str:
    return f"{key}_bytes"


def with_hiredis(url: str) -> RedisPy:
    """redis-py on the C parser, its default where that is installed."""
    return RedisPy(redis.Redis.from_url(url))


def without_hiredis(url: str) -> RedisPy:
    """redis-py as where hiredis isn't installed: neither its parser nor its packer."""
    pool = redis.ConnectionPool.from_url(url, parser_class=_RESP3Parser)
    packer = PythonRespSerializer(6000, pool.get_encoder().encode)
    pool.connection_kwargs["command_packer"] = packer
    return RedisPy(redis.Redis.from_pool(pool))
