"""A server listens and never answers: no call takes longer than it may."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing, suppress

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.own_clock import OwnClock
from tests.stores.redis import sentinel as sentinels
from tests.stores.redis.servers import redis_binary, until

QUICK = StoreSettings(timeout_s=0.4)
GRACE_S = 0.35
"""How late a call may be by the process's own clock; less than another deadline."""
PATIENCE_S = 120.0


@pytest.fixture
def silent():
    """The port of a server whose backlog accepts connections that are never read."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def calls(store):
    payload = memoryview(bytearray(PAYLOAD))
    return (
        lambda: store.contains([KEY]),
        lambda: store.get_into(KEY, payload),
        lambda: store.put(KEY, payload),
    )


def is_given_up_in_time(call):
    clock = OwnClock()
    with pytest.raises(StoreError):
        call()
    return clock.passed_s < QUICK.timeout_s + GRACE_S


def answered(call):
    """What ``call`` returns in the first try that is answered in time."""
    said = []

    def is_answered():
        with suppress(StoreError):
            said.append(call())
        return said

    return until(is_answered, PATIENCE_S)[0]


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pw@127.0.0.1:PORT",
        "rediss://127.0.0.1:PORT",
        "redis-sentinel://127.0.0.1:PORT,127.0.0.1:PORT/mymaster",
        "rediss-sentinel://127.0.0.1:PORT/mymaster",
        "redis-cluster://127.0.0.1:PORT,localhost:PORT",
        "rediss-cluster://127.0.0.1:PORT",
    ],
)
def test_it_is_given_up_in_time(silent, url):
    with closing(open_store(url.replace("PORT", str(silent)), CHUNK, QUICK)) as store:
        for call in calls(store):
            assert is_given_up_in_time(call)


def test_a_master_that_stops_is_given_up_in_time_and_taken_up_again(tmp_path):
    with (
        sentinels.running(redis_binary(), tmp_path) as stack,
        closing(open_store(stack.url, CHUNK, QUICK)) as store,
    ):
        assert answered(lambda: store.put(KEY, memoryview(PAYLOAD)))
        stopped = [stack.master, *stack.sentinels]  # so there is no failover
        for each in stopped:
            os.kill(each.pid, signal.SIGSTOP)
        try:
            for call in calls(store):
                assert is_given_up_in_time(call)
        finally:
            for each in stopped:
                os.kill(each.pid, signal.SIGCONT)
        assert answered(lambda: get(store, KEY)) == PAYLOAD
