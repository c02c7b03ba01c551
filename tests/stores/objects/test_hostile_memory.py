"""A server that makes its client take memory ends the client's process, and the engine lives."""

from __future__ import annotations

import resource
from contextlib import closing
from pathlib import Path

import pytest

from kvtransfer.client_programs.objects.joined import MEMORY_BYTES
from kvtransfer.errors import StoreError
from kvtransfer.stores.circuit_breaker import BreakerSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.objects.store import ObjectStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults import proxy as line
from tests.stores.objects.test_faults import PATIENT, http, until

LENGTHS = {"a TiB": 1 << 40, "an EiB": 1 << 60, "more than any memory": (1 << 63) + 1}
REFUSED, SERVED = "400 Bad Request", "200 OK"


@pytest.fixture
def proxy(server):
    with closing(line.Proxy(server.port)) as opened:
        yield opened
        opened.follow(line.passing)


@pytest.fixture
def entries(backing, server, proxy):
    """A store behind the proxy, whose calls have time."""
    return ObjectStore(server.url(backing.prefix, proxy.port), PATIENT)


@pytest.fixture
def store(entries):
    """The same as an engine has it; its breaker stays open once it is."""
    formatted = FormattedStore(entries, CHUNK)
    with closing(GuardedStore(formatted, "s3", clock=lambda: 0.0)) as guarded:
        yield guarded


def announcing(nbytes):
    """Each request is answered by an error of ``nbytes``, which breaks off after a few MiB.

    The client makes room for all of it as the second piece arrives.
    """

    def rule(carried, way, data):
        if way == line.REQUEST:
            carried.send(line.REPLY, http(REFUSED, b"<Error>" * 10, Content_Length=nbytes))
            for _ in range(50):
                carried.send(line.REPLY, bytes(1 << 16))
            raise line.Broken

    return rule


def client_pid(entries):
    return entries._client._channels._process.pid


@pytest.mark.parametrize("nbytes", LENGTHS.values(), ids=LENGTHS)
def test_an_announced_error_costs_misses_and_opens_the_breaker(backing, proxy, store, nbytes):
    assert store.put(KEY, memoryview(PAYLOAD))
    proxy.follow(announcing(nbytes))
    for failures in range(BreakerSettings().failures_to_open):
        assert (store.failures, store.refused, store.open_breakers()) == (failures, 0, 0)
        assert get(store, KEY) is None
    assert store.open_breakers() == 1
    assert not store.put(OTHER_KEY, memoryview(PAYLOAD))
    assert store.contains([KEY, OTHER_KEY]) == [False, False]
    assert store.refused == 2
    assert store.faults == 0
    assert len(backing.names()) == 1


class Endless:
    """Answers each request with ``status`` and bytes without end, but ``most_bytes`` in all."""

    def __init__(self, status, most_bytes):
        self._head = f"HTTP/1.1 {status}\r\nConnection: close\r\n\r\n".encode()
        self._left_bytes = most_bytes
        self._piece = bytes(1 << 20)

    @property
    def is_spent(self):
        return self._left_bytes <= 0

    def __call__(self, carried, way, data):
        if way == line.REQUEST:
            carried.send(line.REPLY, self._head)
            while not self.is_spent and not carried.healed.is_set():
                carried.send(line.REPLY, self._piece)
                self._left_bytes -= len(self._piece)
            raise line.Broken


CALLS = {
    "an error": (REFUSED, lambda entries: entries.stat(KEY)),
    "a listing": (SERVED, lambda entries: list(entries.entries())),
}


@pytest.mark.parametrize(("status", "call"), CALLS.values(), ids=CALLS)
def test_what_comes_without_end_ends_the_client_alone(proxy, entries, store, status, call):
    assert store.put(KEY, memoryview(PAYLOAD))
    first = client_pid(entries)
    endless = Endless(status, 3 * MEMORY_BYTES)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    proxy.follow(endless)
    with pytest.raises(StoreError, match="its client has ended"):
        call(entries)
    assert not endless.is_spent
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kib + (64 << 10)
    proxy.follow(line.passing)
    proxy.hang_up()
    assert get(store, KEY) == PAYLOAD
    assert client_pid(entries) != first
    until(lambda: not Path(f"/proc/{first}").exists())
