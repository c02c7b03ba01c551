"""One fault at a random moment, for a random time, while several threads use the store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.arena import NBYTES
from tests.faults.known import FAULTS
from tests.faults.proxy import REPLY, REQUEST
from tests.faults.scenario import CALLS

if TYPE_CHECKING:
    import random

    from tests.faults.arena import Arena
    from tests.faults.scenario import Call, Fault

THREADS, CALLS_EACH = 2, 5
LONGEST_HOLD_S = 0.6
_TRIP_S = 0.1
_HANG_S = 60.0


@dataclass(frozen=True)
class Storm:
    """What is going to happen, all of it drawn beforehand."""

    fault: Fault
    way: str
    after_bytes: int
    hold_s: float
    calls: tuple[tuple[Call, ...], ...]
    """The calls of each thread."""

    @classmethod
    def drawn(cls, chance: random.Random) -> Storm:
        return cls(
            fault=chance.choice(FAULTS),
            way=chance.choice((REQUEST, REPLY)),
            after_bytes=chance.randrange(2 * NBYTES),
            hold_s=chance.uniform(0.0, LONGEST_HOLD_S),
            calls=tuple(tuple(chance.choices(CALLS, k=CALLS_EACH)) for _ in range(THREADS)),
        )


def rage(arena: Arena, storm: Storm) -> None:
    """Let it happen on an ``arena`` that is well, and leave that so.

    Raises:
        Wrong: a promise was broken.
    """
    struck, fault = arena.number, storm.fault
    with ThreadPoolExecutor(THREADS) as pool:
        try:
            trip = arena.proxy.trip(storm.way, storm.after_bytes, lambda: fault.inject(arena))
            threads = [pool.submit(_work, arena, calls) for calls in storm.calls]
            if not trip.sprung.wait(_TRIP_S) and arena.proxy.untrip():
                fault.inject(arena)
            time.sleep(storm.hold_s)
        finally:
            arena.proxy.untrip()
            fault.heal(arena)
        for thread in threads:
            thread.result(_HANG_S)
    arena.lookup(struck)  # one call may meet a dead connection that no thread has used since
    arena.assert_well()
    arena.get(struck)


def _work(arena: Arena, calls: tuple[Call, ...]) -> None:
    for call in calls:
        arena.now_s += 10.0  # so that the breaker's probes are a part of it
        call.make(arena)
