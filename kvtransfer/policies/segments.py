"""Divides a request into segments by the runs known so far."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.policies.ghosts import Ghosts
    from kvtransfer.policies.run import Run

Segment: TypeAlias = "tuple[Run | None, int]"
"""The run that chunks of a request belong to, None if they are new, and the number of chunks."""


def segments(
    keys: Sequence[str],
    slots: Mapping[str, int],
    runs: Sequence[Run | None],
    ghosts: Ghosts,
) -> list[Segment]:
    """The segments of the request for ``keys``, up to and with the first that is new.

    If they cover the request, its last chunk is a segment of its own: the kind of a run says
    whether it ends a request.

    Args:
        keys: at least one, in the order of their tokens.
        slots: the slots of the chunks that are held.
        runs: the run of each slot.
        ghosts: those of the other chunks.
    """
    if slots.keys().isdisjoint(keys) and ghosts.has_none_of(keys):
        return _split_last(None, len(keys))
    found: list[Segment] = []
    covered = 0
    for run, members in groupby(_runs_of(keys, slots, runs, ghosts)):
        chunks = len(list(members))
        covered += chunks
        if covered == len(keys):
            return [*found, *_split_last(run, chunks)]
        found.append((run, chunks))
        if run is None:
            break
    return found


def _split_last(run: Run | None, chunks: int) -> list[Segment]:
    """The segments of the ``chunks`` chunks of ``run`` that end a request."""
    return [(run, chunks - 1), (run, 1)] if chunks > 1 else [(run, 1)]


def _runs_of(
    keys: Sequence[str], slots: Mapping[str, int], runs: Sequence[Run | None], ghosts: Ghosts
) -> list[Run | None]:
    run_of = ghosts.run_of
    return [
        run_of(key) if slot is None else runs[slot]
        for key, slot in zip(keys, map(slots.get, keys), strict=True)
    ]
