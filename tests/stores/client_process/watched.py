"""A guarded store of a client process under faults: no wrong byte, no late answer, no error."""

from __future__ import annotations

import time
from contextlib import contextmanager

from kvtransfer.chunks.keys import base_key
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, PAYLOAD
from tests.own_clock import OwnClock

TIMEOUT_S = 1.0
SLACK_S = 2.0
"""How late an answer may be by the process's own clock."""
READY_S = 240.0
_POISON = b"\xee"


def key_of(number):
    return base_key("org/model", 1, 0, f"{number:032x}")


class Watched:
    """Calls a store of ``entries``, which must have ``TIMEOUT_S``, and checks what holds of each."""

    def __init__(self, entries, chunk=CHUNK, payload=PAYLOAD):
        self.entries = entries
        self._chunk = chunk
        self._payload = payload
        self._now_s = 0.0
        formatted = FormattedStore(entries, chunk)
        self.guarded = GuardedStore(formatted, entries.address, clock=lambda: self._now_s)

    def put(self, number):
        with self._in_time():
            return self.guarded.put(key_of(number), memoryview(self._payload))

    def get(self, number):
        """Whether it is a hit, whose bytes are right."""
        target = bytearray(_POISON * self._chunk.nbytes)
        with self._in_time():
            hit = self.guarded.get_into(key_of(number), memoryview(target))
        assert not hit or target == self._payload, "other bytes"
        return hit

    def lookup(self, number):
        with self._in_time():
            return self.guarded.contains([key_of(number)]) == [True]

    def all_miss(self, number):
        """Neither a hit nor an error, of any call; also once the circuit breaker is open."""
        return not any(call(number) for _ in range(4) for call in (self.get, self.lookup, self.put))

    def serves(self, number):
        """Whether it can be put and had now; the breaker is given the time to try."""
        self._now_s += 3600.0
        return self.put(number) and self.get(number) and self.lookup(number)

    def wait_until_serving(self, number=0):
        deadline_s = time.monotonic() + READY_S
        while not self.serves(number):
            assert time.monotonic() < deadline_s, "doesn't serve"

    def close(self):
        self.guarded.close()

    @contextmanager
    def _in_time(self):
        clock = OwnClock()
        yield
        assert clock.passed_s < TIMEOUT_S + SLACK_S
        assert self.guarded.faults == 0
