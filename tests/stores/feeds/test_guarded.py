from __future__ import annotations

import pytest

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.feeds.guarded import GuardedFeed
from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.shelf import Shelf
from tests.stores.feeds.feed_contract import PLENTY, TOPIC


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


class FailingFeed(MemoryFeed):
    error = None
    calls = 0

    def append(self, topic, payload):
        self.calls += 1
        if self.error is not None:
            raise self.error
        super().append(topic, payload)

    def close(self):
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inner():
    return FailingFeed(Shelf())


@pytest.fixture
def feed(inner, clock):
    return GuardedFeed(inner, clock)


def test_what_works_is_passed_on(feed):
    assert feed.append(TOPIC, b"1")
    assert feed.read(feed.reader(TOPIC), PLENTY) == [b"1"]
    assert feed.failures == 0


def test_after_failures_it_isnt_asked_until_the_cooldown_is_over(feed, inner, clock, caplog):
    inner.error = StoreError("no answer")
    assert not any(feed.append(TOPIC, b"1") for _ in range(10))
    assert (inner.calls, feed.failures, feed.refused) == (3, 3, 7)
    assert feed.read(feed.reader(TOPIC), PLENTY) == []
    inner.error = None
    clock.now_s = 60.0
    assert feed.append(TOPIC, b"2")
    assert [record.getMessage() for record in caplog.records] == [
        "passages aren't exchanged with other processes: no answer (1 so far)"
    ]


def test_a_part_that_fails_closes_nothing(feed, inner):
    inner.error = PartError("full")
    assert not any(feed.append(TOPIC, b"1") for _ in range(10))
    assert inner.calls == feed.failures == 10


def test_a_fault_of_ours_is_told_and_swallowed(feed, inner, caplog):
    inner.error = RuntimeError("a bug")
    assert not feed.append(TOPIC, b"1")
    feed.close()
    assert "please report it" in caplog.text
    assert "a bug" in caplog.text
    assert feed.failures == 2
