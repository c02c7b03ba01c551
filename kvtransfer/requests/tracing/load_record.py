"""Records one load of a request whose engine traces it: times and facts, no tokens and no keys."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kvtransfer.plan import LoadTimes
from kvtransfer.scheduling.cost.runs import total_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kvtransfer.passages.gaps import Blend
    from kvtransfer.requests.loading.match import Match
    from kvtransfer.requests.step import EngineRequest
    from kvtransfer.scheduling.cost.runs import Run

SLOWER = "slower than computing"
LOAD_FAILED = "a chunk did not arrive"
WEIGHTS_CHANGED = "the weights changed"
REQUEST_ENDED = "the request ended"


class LookedUp(NamedTuple):
    """What was found for a request, and when."""

    began_s: float
    ended_s: float
    runs: Sequence[Run]
    """The cached tokens behind ``local_tokens``, by tier."""
    worth_tokens: int
    """The leading part that loads sooner than it is computed."""
    local_tokens: int
    """Tokens that the engine's own cache held."""


@dataclass
class LoadRecord:
    """For the scheduler's thread, until the tracer has it. Seconds are since the epoch."""

    request_id: str
    codec: str = "naive"
    """In which chunks are stored."""
    caller: Mapping[str, str] = field(default_factory=dict)
    """The trace context that the caller has sent, as HTTP headers."""
    clock: Callable[[], float] = time.time
    lookup: LookedUp | None = None
    """The latest; None: the request has not come so far."""
    began_s: float | None = None
    """When the load was begun; None: nothing is loaded."""
    ended_s: float = 0.0
    runs: Sequence[Run] = ()
    """The tokens to load, in the order of the jobs, by tier."""
    blend: Blend | None = None
    """What of them is copied to other positions."""
    tiers: dict[int, str] = field(default_factory=dict)
    """The tier of each job, in the order of the jobs."""
    times: dict[int, LoadTimes] = field(default_factory=dict)
    """What each job took."""
    failure: str | None = None
    """Why the load was given up; None: it was not."""
    used_tokens: int | None = None
    """The leading tokens that are of use although the load failed."""

    def look_up(
        self, asked_ago_s: float, took_s: float, match: Match, worth_tokens: int, local_tokens: int
    ) -> None:
        """The store was asked ``asked_ago_s`` ago and took ``took_s``; ``match`` came of it."""
        began_s = self.clock() - asked_ago_s
        self.lookup = LookedUp(began_s, began_s + took_s, match.runs, worth_tokens, local_tokens)

    def begin(self, runs: Sequence[Run], blend: Blend | None = None) -> None:
        """The request begins to load ``runs``."""
        self.began_s, self.runs, self.blend = self.clock(), runs, blend

    def take(self, job: int, times: LoadTimes) -> None:
        """One rank or more report what ``job`` took."""
        self.times[job] = self.times.get(job, LoadTimes()).add(times)

    def give_up(self, reason: str, used_tokens: int) -> None:
        """The load brings ``used_tokens`` at most; the first of several reasons counts."""
        self.failure = self.failure or reason
        before = total_tokens(self.runs) if self.used_tokens is None else self.used_tokens
        self.used_tokens = min(before, used_tokens)


class LoadTracer(Protocol):
    """What becomes of the records; no call waits for anything."""

    def begin(self, request: EngineRequest) -> LoadRecord:
        """An empty record for a load of ``request``."""

    def end(self, record: LoadRecord) -> None:
        """The load has ended; ``record``, which will not change any more, is the tracer's."""

    def close(self) -> None:
        """Export what still waits, as far as that takes no time to speak of."""
