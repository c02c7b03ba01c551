"""A request that is late is given up, and what it would have done doesn't happen."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from threading import Event

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores.objects.event_loop import EventLoop

PATIENCE_S = 60.0


async def after(seconds, then):
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        then.set()
        raise
    return seconds


def test_a_request_returns_what_it_returns():
    with closing(EventLoop("late")) as loop:
        assert loop.run(after(0, Event()), time.monotonic() + PATIENCE_S) == 0


def test_a_late_request_is_given_up():
    given_up = Event()
    with closing(EventLoop("store: late")) as loop:
        with pytest.raises(StoreError, match=r"^store: late$"):
            loop.run(after(PATIENCE_S, given_up), time.monotonic() + 0.05)
        assert given_up.wait(PATIENCE_S)


def test_closing_gives_up_what_is_under_way():
    given_up = Event()
    loop = EventLoop("late")
    loop.run(after(0, Event()), time.monotonic() + PATIENCE_S)
    request = loop.begin(after(PATIENCE_S, given_up))
    loop.close()
    assert given_up.is_set()
    assert request.cancelled()
