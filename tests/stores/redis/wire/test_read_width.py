"""The width on simulated lines: reads are delayed, and then come one after another."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.stores.redis.wire.read_width import ReadWidth

NBYTES = 12_000_000


@dataclass
class Stretch:
    """A line and the server behind it."""

    delay_s: float
    """Of each read, whatever else is under way."""
    busy_s: float
    """The time for which each read keeps line or server busy."""
    noise: float = 0.0
    """The most that chance adds to a delay, as a share of it."""

    @property
    def best_width(self) -> float:
        """From here on, line or server are never idle."""
        return (self.delay_s + self.busy_s) / self.busy_s


class Simulation:
    """Reads as many as ``width`` allows at a time, but at most ``threads``."""

    def __init__(self, line, width, threads, seed=0):
        self.line, self.width, self.threads = line, width, threads
        self.now_s = self.free_s = 0.0
        self.random = random.Random(seed)
        self.under_way, self.numbers = [], count()
        self.widths = []

    def run(self, reads):
        """Return how long ``reads`` more took, by the line's own clock."""
        began_s, left = self.now_s, reads
        while left or self.under_way:
            while left and len(self.under_way) < min(self.width.width, self.threads):
                self.begin()
                left -= 1
            self.end()
        return self.now_s - began_s

    def begin(self):
        delay_s = self.line.delay_s * (1 + self.random.uniform(0, self.line.noise))
        self.free_s = max(self.free_s, self.now_s + delay_s) + self.line.busy_s
        read = self.free_s, next(self.numbers), self.now_s, len(self.under_way) + 1
        heapq.heappush(self.under_way, read)

    def end(self):
        self.now_s, _, began_s, beside = heapq.heappop(self.under_way)
        self.width.ended(NBYTES, self.now_s - began_s, beside)
        self.widths.append(self.width.width)


@dataclass
class Fixed:
    """A width that learns nothing."""

    width: int

    def ended(self, nbytes, read_s, beside):
        pass


NEAR = Stretch(delay_s=0.003, busy_s=0.004)
FAR = Stretch(delay_s=0.100, busy_s=0.012)
FARTHER = Stretch(delay_s=0.500, busy_s=0.012)
SLOW_SERVER = Stretch(delay_s=0.0, busy_s=0.250)


@pytest.mark.parametrize("line", [NEAR, FAR, FARTHER, SLOW_SERVER])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_line_is_kept_busy_without_reads_that_only_wait(line, noise):
    line = Stretch(line.delay_s, line.busy_s, noise)
    it = Simulation(line, ReadWidth(16), threads=16)
    it.run(200)
    took_s = it.run(1000)
    least_s = min(Simulation(line, Fixed(width), 16).run(1000) for width in (1, 2, 4, 8, 16))
    assert took_s < 1.2 * least_s
    settled = sorted(it.widths[-500:])[250]
    assert settled <= line.best_width + 3


def test_a_fast_server_nearby_is_read_two_or_three_at_a_time():
    it = Simulation(NEAR, ReadWidth(16), threads=16)
    it.run(1000)
    assert sorted(it.widths[-200:])[100] in (2, 3)
    assert max(it.widths[-200:]) <= 4


def test_a_line_that_others_share_is_left_to_them_and_taken_back():
    it = Simulation(FAR, ReadWidth(16), threads=16)
    it.run(500)
    wide = it.width.width
    it.line = Stretch(FAR.delay_s, FAR.busy_s * 5)
    it.run(500)
    narrow = it.width.width
    it.line = FAR
    it.run(1000)
    assert narrow < wide / 1.5
    assert it.width.width >= wide - 2


def test_a_line_that_has_become_longer_is_learned_again():
    it = Simulation(NEAR, ReadWidth(16), threads=16)
    it.run(500)
    it.line = FAR
    it.run(1500)
    assert it.width.width >= FAR.best_width - 2


def test_few_threads_are_no_reason_to_widen():
    width = ReadWidth(16)
    it = Simulation(SLOW_SERVER, width, threads=4)
    it.run(100)
    it.threads = 2
    before = width.width
    it.run(100)
    assert width.width <= before


def test_the_first_read_goes_alone_and_then_as_many_as_may():
    width = ReadWidth(5)
    assert width.width == 1
    width.ended(NBYTES, 0.1, beside=1)
    assert width.width == 5


@given(
    st.integers(1, 20),
    st.lists(
        st.tuples(st.sampled_from([0, 1, NBYTES]), st.floats(0, 1e6), st.integers(1, 30)),
        max_size=300,
    ),
)
def test_it_stays_between_one_and_the_limit(limit, reads):
    width = ReadWidth(limit)
    for read in reads:
        width.ended(*read)
        assert 1 <= width.width <= limit
