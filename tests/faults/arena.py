"""Where faults are let loose: a server behind a proxy, a store, and what holds of every call."""

from __future__ import annotations

import functools
import itertools
import os
import random
import signal
import time
from contextlib import closing, contextmanager
from threading import local
from typing import TYPE_CHECKING

import redis

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.redis.store import RedisStore
from tests.faults.proxy import Proxy
from tests.own_clock import OwnClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 0.3
SLACK_S = 1.0
"""How late a call may be by the process's own clock; what calls really took is recorded."""
PATIENCE_S = 120.0
"""The deadline of calls that have to succeed, however busy the machine is."""
NBYTES = (4 << 20) + 3
"""Three slices, the last of an odd length."""
CHUNK = ChunkFormat("opaque:faults", "uint8", (NBYTES,), 1, NBYTES)
_NOISE = random.Random(0).randbytes(NBYTES)
_POISON = b"\xee" * NBYTES
_MEMORY_BYTES = 256 << 20


@functools.lru_cache(16)
def payload_of(number: int) -> bytes:
    """Equal keys mean equal bytes, other keys others."""
    start = number * 7919 % NBYTES
    return _NOISE[start:] + _NOISE[:start]


def key_of(number: int) -> str:
    return base_key("org/model", 1, 0, f"{number:032x}")


ABSENT = range(1 << 64, (1 << 64) + 256)
"""Numbers of keys that are never put."""


class Wrong(AssertionError):
    """A promise was broken."""


class Arena:
    """Keys are numbers here; a new one for each purpose, as payloads follow from them."""

    def __init__(self) -> None:
        self.password = "s3cret"
        self.number = 0
        """The key of the entry that is there when a fault begins."""
        self._numbers = itertools.count()
        self.server = EmbeddedServer(_MEMORY_BYTES, password=self.password)
        self.control = redis.Redis.from_url(self.server.url)
        self.proxy = Proxy(self.server.port)
        self.now_s = 0.0
        self.allowed_s = DEADLINE_S
        """Seconds that a call may take if it begins now."""
        self.store = self.open_store()
        self.slowest_s = 0.0
        self._hand = local()

    def open_store(self) -> GuardedStore:
        """One more, through the proxy."""
        entries = RedisStore(self.url, StoreSettings(timeout_s=DEADLINE_S))
        entries._servers.begin = lambda: time.monotonic() + self.allowed_s
        return GuardedStore(FormattedStore(entries, CHUNK), self.url, clock=lambda: self.now_s)

    @contextmanager
    def allowing(self, seconds: float) -> Iterator[None]:
        """Give calls that begin in the body ``seconds``."""
        before_s, self.allowed_s = self.allowed_s, seconds
        try:
            yield
        finally:
            self.allowed_s = before_s

    @property
    def url(self) -> str:
        """The URL of the server, through the proxy."""
        return f"redis://:{self.password}@127.0.0.1:{self.proxy.port}/0"

    def get(self, number: int) -> bool:
        """Whether it is a hit, whose bytes are proven."""
        target = self._target()
        target[:] = _POISON
        with self._in_time("get"):
            hit = self.store.get_into(key_of(number), target)
        if hit and target != payload_of(number):
            raise Wrong(f"a get of {number} returned other bytes")
        return hit

    def put(self, number: int) -> bool:
        payload = memoryview(payload_of(number))
        with self._in_time("put"):
            return self.store.put(key_of(number), payload)

    def lookup(self, *numbers: int) -> list[bool]:
        """What is there of ``numbers``, asked among many that aren't."""
        keys = [key_of(number) for number in (*ABSENT, *numbers)]
        with self._in_time("lookup"):
            found = self.store.contains(keys)
        if any(found[: len(ABSENT)]):
            raise Wrong("a lookup found what was never put")
        return found[len(ABSENT) :]

    def fresh(self) -> int:
        """A number not used before."""
        return next(self._numbers)

    def assert_well(self) -> None:
        """All three do what they are there for, in their first try."""
        with self.allowing(PATIENCE_S):
            if failing := self._failing():
                raise Wrong(f"doesn't work again: {failing}")

    def cool_down(self) -> None:
        """Let the time pass for which the circuit breaker asks the store nothing."""
        self.now_s += 3600.0

    def _failing(self) -> str:
        """The first call that doesn't succeed; empty if all do."""
        self.cool_down()
        self.number = number = self.fresh()
        calls = {
            "put": lambda: self.put(number),
            "get": lambda: self.get(number),
            "lookup": lambda: self.lookup(number) == [True],
        }
        return next((name for name, succeeds in calls.items() if not succeeds()), "")

    @property
    def record_name(self) -> str:
        """Where the record of the entry lies that is there."""
        return key_of(self.number)

    @property
    def payload_name(self) -> str:
        """Where its payload lies."""
        return f"{key_of(self.number)}_bytes"

    def damage(self, change: Callable[[bytes], bytes]) -> None:
        """Change the payload that is there, past the store."""
        self.control.set(self.payload_name, change(payload_of(self.number)))

    def retype(self, name: str) -> None:
        """Put something else there."""
        with self.control.pipeline() as pipe:
            pipe.unlink(name).rpush(name, "somebody else's").execute()

    def replace_by_another(self) -> None:
        """Copy both halves of another good entry over those that are there."""
        other = self.fresh()
        with closing(open_store(self.server.url, CHUNK, StoreSettings())) as store:
            store.put(key_of(other), memoryview(payload_of(other)))
        for half in ("", "_bytes"):
            names = (f"{key_of(number)}{half}" for number in (other, self.number))
            self.control.copy(*names, replace=True)

    def tell(self, *commands: str) -> None:
        """Say ``commands`` to the server, past the proxy."""
        for command in commands:
            self.control.execute_command(*command.split())

    def kill(self) -> None:
        os.kill(self.server.pid, signal.SIGKILL)

    def restart(self) -> None:
        """As after a crash: empty, at the same address."""
        self.server.close()
        self.server = EmbeddedServer(_MEMORY_BYTES, port=self.server.port, password=self.password)

    def close(self) -> None:
        self.store.close()
        self.proxy.close()
        self.control.close()
        self.server.close()

    def _target(self) -> memoryview:
        """Memory of this thread's own."""
        if not hasattr(self._hand, "target"):
            self._hand.target = memoryview(bytearray(NBYTES))
        return self._hand.target

    @contextmanager
    def _in_time(self, call: str) -> Iterator[None]:
        allowed_s, began_s, clock = self.allowed_s, time.monotonic(), OwnClock()
        yield
        took_s, own_s = time.monotonic() - began_s, clock.passed_s
        if allowed_s == DEADLINE_S:
            self.slowest_s = max(self.slowest_s, took_s)
        if own_s > allowed_s + SLACK_S:
            raise Wrong(f"a {call} took {own_s:.2f} s")
