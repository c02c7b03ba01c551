from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest
from redis.exceptions import TimeoutError

from kvtransfer.stores.redis.wire.read_gate import ReadGate
from tests.fake_clock import FakeClock

NEVER_S = 1e9
FOREVER_S = 30.0


class Reads:
    """Reads that end when they are told to, with the threads that make them."""

    def __init__(self, gate, threads):
        self._gate = gate
        self._threads = threads
        self._lock = Lock()
        self.begun, self.most = [], 0
        self._under_way = 0

    def begin(self, name):
        """A future, and what has begun it and ends it."""
        entered, leave = Event(), Event()
        return self._threads.submit(self._read, name, entered, leave), entered, leave

    def _read(self, name, entered, leave):
        with self._gate.passed(NEVER_S) as read:
            with self._lock:
                self.begun.append(name)
                self._under_way += 1
                self.most = max(self.most, self._under_way)
            entered.set()
            assert leave.wait(FOREVER_S)
            read.nbytes = 1000
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as made:
        yield made


def test_the_first_read_goes_alone_and_the_others_in_the_order_in_which_they_came(threads):
    gate = ReadGate(limit=2)
    reads = Reads(gate, threads)
    first, entered, leave_first = reads.begin("a")
    assert entered.wait(FOREVER_S)
    others = []
    for name in "bcd":
        others.append(reads.begin(name))
        while len(gate._line) < len(others):  # it has come to the gate
            time.sleep(0.001)
    assert reads.begun == ["a"]
    leave_first.set()
    first.result(FOREVER_S)
    for ended, entered, leave in others:
        assert entered.wait(FOREVER_S)
        leave.set()
        ended.result(FOREVER_S)
    assert reads.begun == ["a", "b", "c", "d"]
    assert reads.most <= 2


def test_one_whose_turn_does_not_come_in_time_gives_up_its_place(threads):
    clock = FakeClock()
    gate = ReadGate(limit=1, clock=clock)
    reads = Reads(gate, threads)
    first, entered, leave = reads.begin("a")
    assert entered.wait(FOREVER_S)
    with pytest.raises(TimeoutError), gate.passed(deadline_s=-1.0):
        pytest.fail("it was not its turn")
    last, _, leave_last = reads.begin("b")
    leave_last.set()
    leave.set()
    first.result(FOREVER_S)
    last.result(FOREVER_S)
    assert reads.begun == ["a", "b"]


def test_a_read_that_fails_or_brings_nothing_lets_the_next_one_in_and_teaches_nothing():
    gate = ReadGate(limit=8)
    with pytest.raises(ZeroDivisionError), gate.passed(NEVER_S):
        raise ZeroDivisionError
    with gate.passed(NEVER_S):
        pass
    assert gate._width.width == 1
    with gate.passed(NEVER_S) as read:
        assert read.beside == 1
        read.nbytes = 5
    assert gate._width.width == 8
