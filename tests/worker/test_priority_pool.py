from threading import Event

import pytest

from kvtransfer.worker.priority_pool import PriorityPool

FOREVER_S = 30.0


@pytest.fixture
def pool():
    made = PriorityPool(1, "test")
    yield made
    made.close()


def held(pool):
    """The one thread is busy until this is set."""
    gate, busy = Event(), Event()

    def wait():
        busy.set()
        return gate.wait(FOREVER_S)

    pool.submit(0, wait)
    assert busy.wait(FOREVER_S)
    return gate


def test_the_lowest_priority_goes_first_and_of_the_same_the_one_that_came_first(pool):
    done = []
    gate = held(pool)
    calls = [
        pool.submit(priority, lambda name=name: done.append(name))
        for priority, name in ((9, "late"), (2, "a"), (2, "b"), (1, "soon"))
    ]
    gate.set()
    for call in calls:
        call.result(FOREVER_S)
    assert done == ["soon", "a", "b", "late"]


def test_more_may_go_at_once_from_some_call_on(pool):
    gate = held(pool)
    waiting = pool.submit(0, lambda: 1)
    pool.widen(2)
    assert waiting.result(FOREVER_S) == 1
    pool.widen(1)
    gate.set()


def test_what_a_call_raises_its_future_holds_and_the_thread_lives(pool):
    with pytest.raises(ZeroDivisionError):
        pool.submit(0, lambda: 1 // 0).result(FOREVER_S)
    assert pool.submit(0, lambda: 5).result(FOREVER_S) == 5


def test_what_has_not_begun_is_cancelled(pool):
    gate = held(pool)
    waiting = pool.submit(0, lambda: 1)
    pool.cancel()
    gate.set()
    assert waiting.cancelled()
