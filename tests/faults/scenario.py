"""A fault, what it is let loose on, and when; afterwards all must be well again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.faults.arena import DEADLINE_S, NBYTES, PATIENCE_S, Arena, Wrong
from tests.faults.proxy import REPLY, REQUEST

T = TypeVar("T")


def in_the_middle(
    arena: Arena,
    way: str,
    middle: int,
    inject: Callable[[], None],
    call: Callable[[], T],
    recover: Callable[[], None] = lambda: None,
) -> T:
    """What ``call`` returns that finds ``inject`` done once ``middle`` bytes went the ``way``.

    On a busy machine a call may end before its middle; the next one has more time. Before that
    ``recover`` waits until the store is asked again, which several failures in a row put off.

    Raises:
        Wrong: no call has come so far.
    """
    for times in (1, 16, 256):
        if times > 1:
            recover()
        trip = arena.proxy.trip(way, middle, inject)
        with arena.allowing(times * DEADLINE_S):
            returned = call()
        if not arena.proxy.untrip():
            # The call has found it begun. It may take longer than the call, as a restart does.
            if not trip.sprung.wait(PATIENCE_S):
                raise Wrong("it began and never ended")
            return returned
    raise Wrong("it didn't come about")


def nothing(arena: Arena) -> None:
    """What is broken stays so, or mends itself."""


@dataclass(frozen=True)
class Fault:
    """``arena.number`` is in the store when it is injected; healing twice is harmless."""

    name: str
    inject: Callable[[Arena], None]
    heal: Callable[[Arena], None] = nothing


@dataclass(frozen=True)
class Call:
    """One call of the store, and the byte in the middle of it."""

    name: str
    make: Callable[[Arena], object]
    way: str
    middle: int


CALLS = (
    Call("get", lambda arena: arena.get(arena.number), REPLY, NBYTES // 2),
    Call("put", lambda arena: arena.put(arena.fresh()), REQUEST, NBYTES // 2),
    Call("put again", lambda arena: arena.put(arena.number), REQUEST, 1),
    Call("lookup", lambda arena: arena.lookup(arena.number), REQUEST, 20_000),
)


def before(arena: Arena, fault: Fault, call: Call) -> None:
    """The call finds the fault there, on an open connection."""
    fault.inject(arena)
    call.make(arena)


def afresh(arena: Arena, fault: Fault, call: Call) -> None:
    """The call finds the fault there and has to connect first."""
    arena.proxy.hang_up()
    fault.inject(arena)
    call.make(arena)


def during(arena: Arena, fault: Fault, call: Call) -> None:
    """The fault comes about in the middle of the call."""
    way, middle = call.way, call.middle
    in_the_middle(
        arena, way, middle, lambda: fault.inject(arena), lambda: call.make(arena), arena.cool_down
    )


def after(arena: Arena, fault: Fault, call: Call) -> None:
    """Nobody calls while the fault is there."""
    call.make(arena)
    fault.inject(arena)


MOMENTS = (before, afresh, during, after)
Moment = Callable[[Arena, Fault, Call], None]


def strike(arena: Arena, fault: Fault, call: Call, moment: Moment) -> None:
    """Prove one combination on an arena that is well, and leave it so.

    Raises:
        Wrong: a promise was broken.
    """
    struck = arena.number
    try:
        moment(arena, fault, call)
    finally:
        arena.proxy.untrip()
        fault.heal(arena)
        arena.assert_well()
    arena.get(struck)
