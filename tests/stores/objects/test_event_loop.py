"""A call that is late is cancelled, and has ended before its caller goes on."""

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


def test_a_call_returns_what_it_returns():
    with closing(EventLoop("late")) as loop:
        assert loop.run(after(0, Event()), time.monotonic() + PATIENCE_S) == 0


def test_a_late_call_has_ended_when_that_is_told():
    cancelled = Event()
    with closing(EventLoop("store: late")) as loop:
        with pytest.raises(StoreError, match=r"^store: late$"):
            loop.run(after(PATIENCE_S, cancelled), time.monotonic() + 0.05)
        assert cancelled.is_set()


def test_a_call_raises_what_it_raises():
    async def fail():
        raise StoreError("no")

    with closing(EventLoop("late")) as loop, pytest.raises(StoreError, match=r"^no$"):
        loop.run(fail(), time.monotonic() + PATIENCE_S)
