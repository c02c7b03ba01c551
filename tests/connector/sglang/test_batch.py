"""Calls of a batch run at once, and what can be of no use any more is left out."""

from __future__ import annotations

from contextlib import closing
from threading import Barrier

import pytest

from kvtransfer.connector.sglang.batch import Batches


@pytest.fixture
def batches():
    with closing(Batches(2, 60.0)) as opened:
        yield opened


def test_calls_run_at_once_and_answer_in_order(batches):
    both = Barrier(2, timeout=60)
    assert batches.read([lambda: both.wait() >= 0, lambda: both.wait() >= 0]) == [True, True]
    assert batches.write([]) == []


def test_calls_behind_a_miss_are_given_up():
    called = []
    with closing(Batches(1, 60.0)) as one_thread:
        said = one_thread.read(
            [lambda: True, lambda: False, lambda: bool(called.append(1)) or True]
        )
    assert said == [True, False, False]
    assert called == []


def test_calls_whose_time_is_over_are_given_up():
    with closing(Batches(1, -1.0)) as late:
        assert late.read([lambda: True]) == [False]


def test_a_call_that_raises_is_a_miss(batches, caplog):
    def fail():
        raise ValueError("a page of another length")

    assert batches.read([lambda: True, fail]) == [True, False]
    assert "a page of another length" in caplog.text


def test_more_threads_may_come(batches):
    batches.widen(3)
    three = Barrier(3, timeout=60)
    assert batches.read([lambda: three.wait() >= 0] * 3) == [True] * 3
