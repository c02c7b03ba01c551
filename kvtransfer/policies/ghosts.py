"""Remembers runs of evicted chunks as ghosts, to learn when they are requested again."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.policies.run import Run

_GHOSTS_A_SLOT = 8
_LEAST_GHOSTS = 4096


class Ghosts:
    """The runs of chunks that were evicted, or that wait for a slot.

    There are at most ``_GHOSTS_A_SLOT`` entries a slot; the runs that lost a chunk longest ago are
    forgotten first.
    """

    def __init__(self, slots: int) -> None:
        self._runs: dict[str, Run] = {}
        self._most = max(_LEAST_GHOSTS, _GHOSTS_A_SLOT * slots)
        self._order: OrderedDict[Run, None] = OrderedDict()
        """Runs with ghosts, in the order in which they are forgotten."""
        self.run_of = self._runs.get
        """The run of a key, None if there is no ghost of it."""

    def __len__(self) -> int:
        return len(self._runs)

    def has_none_of(self, keys: Sequence[str]) -> bool:
        """Say whether none of ``keys`` has a ghost."""
        return self._runs.keys().isdisjoint(keys)

    def add_new(self, run: Run, keys: Sequence[str], depth: int) -> None:
        """Add the chunks of a new run, which are ghosts until they get slots.

        Args:
            run: it has no chunks yet.
            keys: its chunks, in the order of their tokens.
            depth: the number of chunks before the first in their request.
        """
        run.ghosts = dict(zip(keys, range(depth, depth + len(keys)), strict=True))
        self._runs.update(dict.fromkeys(keys, run))

    def add_evicted(self, run: Run, keys: Sequence[str], depths: Sequence[int]) -> None:
        """Add chunks of the run that were evicted, each with its depth in its request."""
        if not run.ghosts:
            self._order[run] = None
        run.ghosts.update(zip(keys, depths, strict=True))
        self._runs.update(dict.fromkeys(keys, run))

    def pop(self, key: str) -> tuple[Run, int] | None:
        """Remove the ghost of ``key``, which gets a slot: its run and its depth; None: no ghost."""
        run = self._runs.pop(key, None)
        if run is None:
            return None
        depth = run.ghosts.pop(key)
        if not run.ghosts:
            self._order.pop(run, None)
        return run, depth

    def move(self, old: Run, run: Run, keys: Sequence[str]) -> None:
        """Move the ghosts of ``keys`` from the run ``old`` to ``run``."""
        for key in keys:
            run.ghosts[key] = old.ghosts.pop(key)
            self._runs[key] = run
        if not old.ghosts:
            self._order.pop(old, None)

    def append(self, run: Run) -> None:
        """Forget the ghosts of the run last, if it has any."""
        if run.ghosts:
            self._order[run] = None

    def trim(self) -> Iterator[tuple[Run, int]]:
        """Forget the ghosts beyond the limit: yields runs, and how many chunks each has lost."""
        while len(self._runs) > self._most:
            run, _ = self._order.popitem(last=False)
            deque(map(self._runs.pop, run.ghosts), 0)  # the fastest way to pop them all
            forgotten, run.ghosts = len(run.ghosts), {}
            yield run, forgotten
