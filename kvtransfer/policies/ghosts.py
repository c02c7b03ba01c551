"""What is remembered of chunks that have no slot: their runs, to learn from their return."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.policies.runs import Run

_GHOSTS_A_SLOT = 8
_LEAST_GHOSTS = 4096


class Ghosts:
    """The runs of evicted chunks and of those to come, the longest gone forgotten first."""

    def __init__(self, slots: int) -> None:
        self._runs: dict[str, Run] = {}
        self._most = max(_LEAST_GHOSTS, _GHOSTS_A_SLOT * slots)
        self._lossy: OrderedDict[Run, None] = OrderedDict()
        """Those with ghosts, by when the first went."""
        self.run_of = self._runs.get
        """The run of a key that is remembered."""

    def __len__(self) -> int:
        return len(self._runs)

    def know_none(self, keys: Sequence[str]) -> bool:
        """Whether all of ``keys`` are unheard of."""
        return self._runs.keys().isdisjoint(keys)

    def foretell(self, run: Run, keys: Sequence[str], depth: int) -> None:
        """New chunks, ``depth`` before them in their request: ghosts until they get slots."""
        run.gone = dict(zip(keys, range(depth, depth + len(keys)), strict=True))
        self._runs.update(dict.fromkeys(keys, run))

    def bury(self, run: Run, keys: Sequence[str], depths: Sequence[int]) -> None:
        """Chunks of the run have gone."""
        if not run.gone:
            self._lossy[run] = None
        run.gone.update(zip(keys, depths, strict=True))
        self._runs.update(dict.fromkeys(keys, run))

    def wake(self, key: str) -> tuple[Run, int] | None:
        """``key`` gets a slot: its run and its depth, if it is remembered."""
        run = self._runs.pop(key, None)
        if run is None:
            return None
        depth = run.gone.pop(key)
        if not run.gone:
            self._lossy.pop(run, None)
        return run, depth

    def hand_over(self, old: Run, run: Run, keys: Sequence[str]) -> None:
        """``keys``, of ``old``, are of ``run`` from now on."""
        for key in keys:
            run.gone[key] = old.gone.pop(key)
            self._runs[key] = run
        if not old.gone:
            self._lossy.pop(old, None)

    def note_loss(self, run: Run) -> None:
        """The run, if it has ghosts, is the last whose ghosts are forgotten."""
        if run.gone:
            self._lossy[run] = None

    def forget(self) -> Iterator[tuple[Run, int]]:
        """Those beyond the limit: runs, and how many chunks of each."""
        while len(self._runs) > self._most:
            run, _ = self._lossy.popitem(last=False)
            deque(map(self._runs.pop, run.gone), 0)  # as fast as it gets
            gone, run.gone = len(run.gone), {}
            yield run, gone
