from __future__ import annotations

import time
from contextlib import closing
from threading import Event

import pytest
import redis

from kvtransfer.stores.redis.nodes.topology_cache import TopologyCache


def soon():
    return time.monotonic() + 10


def test_the_first_answer_is_waited_for_and_kept():
    asked = []
    with closing(TopologyCache(lambda: asked.append(1) or len(asked))) as latest:
        assert [latest.get(soon()) for _ in range(3)] == [1, 1, 1]
        assert latest.renewed(soon()) == 2
        assert latest.get(soon()) == 2


def test_no_caller_waits_beyond_the_deadline():
    gate = Event()
    with closing(TopologyCache(lambda: gate.wait(10))) as latest:
        began_s = time.monotonic()
        with pytest.raises(redis.TimeoutError, match="where the servers are"):
            latest.get(time.monotonic() + 0.05)
        assert time.monotonic() - began_s < 5
        gate.set()
        assert latest.get(soon()) is True


def test_an_error_goes_to_who_waits_and_what_was_known_stays():
    answers = iter([1, redis.ConnectionError("no answer"), 3])

    def ask():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with closing(TopologyCache(ask)) as latest:
        assert latest.get(soon()) == 1
        with pytest.raises(redis.ConnectionError, match="no answer"):
            latest.renewed(soon())
        assert latest.get(soon()) == 1
        assert latest.renewed(soon()) == 3


def test_an_error_that_is_a_timeout_stays_what_it_is():
    def ask():
        raise redis.TimeoutError("Timeout connecting to server")

    with (
        closing(TopologyCache(ask)) as latest,
        pytest.raises(redis.TimeoutError, match="connecting"),
    ):
        latest.get(soon())


def test_it_is_not_asked_again_and_again():
    asked = []
    with closing(TopologyCache(lambda: asked.append(1))) as latest:
        latest.get(soon())
        for _ in range(100):
            latest.renew()
    assert len(asked) <= 2  # a slow machine may take longer than that moment
