"""What a broken InfiniStore may do to its callers: misses in time, until it is well again."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.infinistore.store import InfiniStore
from kvtransfer.testing import CHUNK, get
from tests.faults.proxy import Proxy, delaying, passing
from tests.stores.client_process.watched import TIMEOUT_S, Watched, key_of


@pytest.fixture
def watched(backing):
    store = InfiniStore(backing.url, StoreSettings(timeout_s=TIMEOUT_S))
    with closing(Watched(store)) as watched:
        watched.wait_until_serving()
        yield watched


def test_killed(simulated, watched):
    simulated.kill()
    assert watched.all_miss(0)
    simulated.start()
    watched.wait_until_serving(1)


def test_stopped(simulated, watched):
    simulated.runs.clear()
    assert watched.all_miss(0)
    simulated.runs.set()
    watched.wait_until_serving(1)


def test_slow(simulated):
    with closing(Proxy(simulated.port)) as proxy:
        store = InfiniStore(
            f"infinistore://127.0.0.1:{proxy.port}", StoreSettings(timeout_s=TIMEOUT_S)
        )
        with closing(Watched(store)) as watched:
            watched.wait_until_serving()
            proxy.follow(delaying(3 * TIMEOUT_S))
            assert watched.all_miss(0)
            proxy.follow(passing)
            watched.wait_until_serving(1)


def test_client_killed(watched):
    os.kill(watched.entries._channels._process.pid, signal.SIGKILL)
    watched.get(0)  # perhaps by a new client already
    watched.wait_until_serving(0)


def test_full(simulated, watched):
    simulated.limit_bytes = 0
    assert not watched.put(1)
    assert not watched.get(1)
    assert watched.get(0)
    assert watched.guarded.failures == 0
    simulated.limit_bytes = 1 << 30
    watched.wait_until_serving(1)


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value[:-1],
        lambda value: value[:7],
        lambda value: b"",
        lambda value: value[:-1] + bytes([value[-1] ^ 1]),
        lambda value: b"\xff" * 8 + value[8:],
    ],
    ids=["truncated", "no length", "empty", "flipped", "a length that lies"],
)
def test_damaged(simulated, watched, backing, damage):
    for name in (key_of(0), f"{key_of(0)}_bytes"):
        simulated.values[name] = damage(simulated.values[name])
        # Memory that has never held these bytes: a read doesn't tell that some are missing.
        with closing(backing.open(CHUNK, StoreSettings())) as fresh:
            assert get(fresh, key_of(0)) is None
        assert not simulated.values
        watched.wait_until_serving(0)
