from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores.client_process.channels import Channels
from kvtransfer.stores.client_process.process import ClientProcess
from tests.stores.mooncake.servers import wait_until

PATIENT_S = 120.0


def later(seconds=PATIENT_S):
    return time.monotonic() + seconds


@pytest.fixture
def started():
    """Processes that were started."""
    return []


@pytest.fixture
def channels(settings, started):
    def start(deadline_s):
        assert deadline_s > time.monotonic()
        started.append(ClientProcess("infinistore", settings, {}))
        return started[-1]

    with closing(Channels(start, most=2)) as opened:
        yield opened


def test_a_channel_serves_one_call_after_the_other(channels):
    seen = set()
    for _ in range(3):
        with channels.taken(4096, later()) as channel:
            assert channel.call("exist", ["a"], later()) == [0]
            seen.add(id(channel))
    assert len(seen) == 1


def test_values_travel_through_its_memory(channels):
    with channels.taken(4096, later()) as channel:
        channel.memory[64:67] = b"abc"
        assert channel.call("write", ["a"], later(), [64], [3]) == [0]
        assert channel.call("exist", ["a", "b"], later()) == [1, 0]
        assert channel.call("lengths", ["a", "b"], later(), sizes=[3, 3]) == [3, -404]
        assert channel.call("read", ["a", "b"], later(), [128, 256], [3, 9]) == [3, -404]
        assert channel.memory[128:131] == b"abc"
        assert channel.call("read", ["a"], later(), [128], [2]) == [-400]
        assert channel.call("remove", ["a", "b"], later()) == [0, 0]
        assert channel.call("exist", ["a"], later()) == [0]


def test_a_call_that_needs_more_memory_gets_it(channels):
    for nbytes in (100, 1 << 20, 10):
        with channels.taken(nbytes, later()) as channel:
            assert len(channel.memory) >= nbytes
            assert channel.call("exist", ["a"], later()) == [0]


def test_one_more_than_there_may_be_waits_until_its_deadline(channels):
    with (
        channels.taken(10, later()),
        channels.taken(10, later()),
        pytest.raises(StoreError, match="too many calls"),
        channels.taken(10, later(0.01)),
    ):
        pass
    with channels.taken(10, later()):
        pass


def test_a_channel_that_has_not_answered_is_not_used_again(channels, simulated, started):
    with channels.taken(10, later()) as channel:
        channel.call("exist", ["a"], later())
        simulated.runs.clear()
        with pytest.raises(StoreError, match="no answer in time"):
            channel.call("exist", ["a"], later(0.1))
    simulated.runs.set()
    with channels.taken(10, later()) as another:
        assert another is not channel
        assert another.call("exist", ["a"], later()) == [0]
    assert len(started) == 1


def test_a_client_that_has_ended_is_started_anew(channels, started):
    with channels.taken(10, later()) as channel:
        channel.call("exist", ["a"], later())
    os.kill(started[0].pid, signal.SIGKILL)
    wait_until(lambda: started[0].has_ended, "it has ended")
    with channels.taken(10, later()) as channel:
        assert channel.call("exist", ["a"], later()) == [0]
    assert len(started) == 2


def test_a_client_that_ends_while_it_is_asked_fails_the_call(channels, simulated, started):
    simulated.runs.clear()
    with channels.taken(10, later()) as channel:
        os.kill(started[0].pid, signal.SIGKILL)
        with pytest.raises(StoreError, match="its client has ended"):
            channel.call("exist", ["a"], later())


def test_a_failed_start_fails_one_call(settings):
    starts = iter([StoreError("no server"), None])

    def start(deadline_s):
        if (error := next(starts)) is not None:
            raise error
        return ClientProcess("infinistore", settings, {})

    with closing(Channels(start, most=1)) as channels:
        with pytest.raises(StoreError, match="no server"), channels.taken(10, later()):
            pass
        with channels.taken(10, later()) as channel:
            assert channel.call("exist", ["a"], later()) == [0]
