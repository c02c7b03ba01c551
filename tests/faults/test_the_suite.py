"""The suite itself can fail: a store that breaks a promise is found out."""

from __future__ import annotations

from threading import Event

import pytest

from kvtransfer.stores.seals.in_use import Seals
from tests.faults.arena import DEADLINE_S, SLACK_S, Wrong
from tests.faults.known import FAULTS
from tests.faults.scenario import CALLS, Fault, before, during, strike
from tests.own_clock import OwnClock

BY_NAME = {fault.name: fault for fault in FAULTS}
GET = CALLS[0]


class TakesAnything:
    def update(self, piece):
        pass

    def is_genuine(self):
        return True


def test_other_bytes_are_found_out(arena, monkeypatch):
    monkeypatch.setattr(Seals, "opening", lambda *_: TakesAnything())
    with pytest.raises(Wrong, match="other bytes"):
        strike(arena, BY_NAME["last bit"], GET, before)


def test_a_late_answer_is_found_out(arena, monkeypatch):
    inner = arena.store.get_into

    def late(key, payload):
        clock = OwnClock()
        while clock.passed_s <= DEADLINE_S + SLACK_S:
            stopped.wait(DEADLINE_S)
        return inner(key, payload)

    stopped = Event()
    monkeypatch.setattr(arena.store, "get_into", late)
    with pytest.raises(Wrong, match="took"):
        arena.get(arena.number)


def test_an_exception_is_found_out(arena, monkeypatch):
    """The guard makes a miss of it; one that stays is a store that never works again."""
    monkeypatch.setattr("redis._parsers.resp3._RESP3Parser.read_response", refuse)
    with pytest.raises(Wrong, match="work again"):
        strike(arena, BY_NAME["flushed"], GET, before)


def test_what_stays_broken_is_found_out(arena):
    stays = Fault("stays", BY_NAME["full"].inject)
    with pytest.raises(Wrong, match="doesn't work again"):
        strike(arena, stays, GET, before)
    BY_NAME["full"].heal(arena)
    arena.assert_well()


def test_a_fault_that_does_not_come_about_is_found_out(arena):
    arena.control.flushdb()
    with pytest.raises(Wrong, match="come about"):
        strike(arena, BY_NAME["reset"], GET, during)


def refuse(*_, **__):
    raise RuntimeError("refused")
