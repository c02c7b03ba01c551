"""Chunks in Redis Cluster, where the two halves of an entry lie on different nodes.

So no MULTI spans both: a writer puts the payload first, then the record, which commits it. A reader
that comes in between finds half an entry, which is a miss; the record's checksum tells what belongs
together. A node that fails is a miss for its keys only.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.record import ChunkRecord, whole
from kvtransfer.stores.redis import halves
from kvtransfer.stores.redis.causes import cause_of
from kvtransfer.stores.redis.credentials import hidden
from kvtransfer.stores.redis.presence import present
from kvtransfer.stores.redis.slots import Slots
from kvtransfer.stores.redis.talk import checked, fields_of, payload_key
from kvtransfer.stores.redis.url import read_url
from kvtransfer.stores.redis.wire.connection import command
from kvtransfer.stores.redis.wire.limits import OversizedReplyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores import StoreSettings
    from kvtransfer.stores.redis.sliced import Line

_NODES_AT_ONCE = 16


class RedisClusterStore:
    """Payloads of one format in the cluster that ``url`` names.

    ``url`` is ``redis-cluster://`` or, with TLS, ``rediss-cluster://`` with user, password, some
    of the nodes and ``?`` options as redis-py reads them; an option there wins over ``settings``.

    Raises:
        ConfigError: the URL is malformed or has an option that redis-py doesn't know.
    """

    def __init__(self, url: str, chunk: ChunkFormat, settings: StoreSettings) -> None:
        self._url = read_url(url, settings)
        self._chunk = chunk
        self._ttl_s = settings.ttl_s
        self._hit_ttl_s = settings.hit_ttl_s
        self._seals = settings.seals
        self._slots = Slots(self._url)
        self._threads = ThreadPoolExecutor(_NODES_AT_ONCE, "kvtransfer-cluster")

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.Store`; a node that fails has nothing."""
        if not keys:
            return []
        names = [name for key in keys for name in (key.encode(), payload_key(key))]
        deadline_s = self._begun()
        try:
            there = present(self._slots, self._threads, names, deadline_s)
        except RedisError as error:
            raise PartError(self._told(error)) from None
        return [key.encode() in there and payload_key(key) in there for key in keys]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        target = whole(payload, self._chunk)
        deadline_s = self._begun()
        record, fields = self._record(key, deadline_s, self._hit_ttl_s)
        read = partial(halves.read_payload, payload_key(key), target, self._hit_ttl_s)
        length, *filled = self._say(payload_key(key), read, deadline_s)
        is_filled = length == len(target) and all(each is True for each in filled)
        if is_filled and record is not None and self._seals.open_whole(record, target, tenant):
            return True
        if (fields, length) != ({}, 0):
            # Perhaps a writer's that is half way: then its record stays alone, a miss, until it is
            # put again.
            for name in (key.encode(), payload_key(key)):
                self._ask(name, b"UNLINK", deadline_s)
        return False

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.Store`."""
        source = whole(payload, self._chunk)
        deadline_s = self._begun()
        name = payload_key(key)
        length = self._ask(name, b"STRLEN", deadline_s, self._ttl_s)
        record, _ = self._record(key, deadline_s, self._ttl_s)
        if length == len(source) and self._seals.know(record):
            return True
        with self._seals.sealed(key, self._chunk, source, tenant) as sealed:
            fields = sealed.record().to_fields()
            write = partial(halves.write_payload, name, sealed.payload, self._ttl_s)
            self._say(name, write, deadline_s)
        commit = partial(halves.write_record, key.encode(), fields, self._ttl_s)
        self._say(key.encode(), commit, deadline_s)
        return True

    def parts_left_alone(self) -> int:
        """See :class:`kvtransfer.stores.Parted`."""
        return self._slots.nodes_left_alone()

    @property
    def is_far(self) -> bool:
        """See :class:`kvtransfer.stores.Distant`."""
        return self._slots.are_far

    def close(self) -> None:
        """See :class:`kvtransfer.stores.Store`."""
        self._threads.shutdown()
        self._slots.close()

    def _begun(self) -> float:
        """The deadline of a call that begins now, once it is known which nodes there are.

        Raises:
            StoreError: that is not known.
        """
        deadline_s = time.monotonic() + self._url.timeout_s
        try:
            self._slots.wait(deadline_s)
        except RedisError as error:
            raise StoreError(self._told(error)) from None
        return deadline_s

    def _record(
        self, key: str, deadline_s: float, ttl_s: int | None
    ) -> tuple[ChunkRecord | None, object]:
        """Of a chunk of ours under ``key``, None for anything else; and the fields as found."""
        try:
            fields = fields_of(self._ask(key.encode(), b"HGETALL", deadline_s, ttl_s))
        except _OversizedError:  # so no record of ours: damage to us
            fields = None
        return ChunkRecord.read(fields or {}, key, self._chunk), fields

    def _ask(self, name: bytes, verb: bytes, deadline_s: float, ttl_s: int | None = None) -> object:
        """The reply to ``verb`` about ``name``, whose time to live may begin anew."""
        commands = [command(verb, name), *halves.life(name, ttl_s)]
        return self._say(name, partial(halves.replies_to, commands), deadline_s)[0]

    def _say(
        self, name: bytes, talk: Callable[[Line], list[object]], deadline_s: float
    ) -> list[object]:
        """The replies of the node that holds ``name``, None for one about a wrong type.

        Raises:
            PartError: whatever the cause; its text holds no secret.
        """
        try:
            return [checked(reply) for reply in self._slots.exchange(name, talk, deadline_s)]
        except OversizedReplyError as error:
            raise _OversizedError(self._told(error)) from None
        except RedisError as error:
            raise PartError(self._told(error)) from None

    def _told(self, error: Exception) -> str:
        cause = hidden(cause_of(error, self._url.shown), self._url.secrets())
        return f"{self._url.shown}: {cause}"


class _OversizedError(PartError):
    """A reply was longer than what it is about can be."""
