"""Finds the runs of a prompt: passages that sources have too, at any position."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.passages.equal_tokens import leading_equal, trailing_equal
from kvtransfer.passages.run import Run
from kvtransfer.passages.segments import checked_segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from kvtransfer.passages.anchors import Anchor, Anchors
    from kvtransfer.passages.library import Library
    from kvtransfer.passages.space import Space

_MOST_COMPARED = 8
"""Sources that are compared with the prompt at one place, by the windows that they share."""


def match(
    library: Library,
    token_ids: Sequence[int] | NDArray[np.int32],
    space: Space,
    *,
    exact_tokens: int = 0,
    segments: Sequence[Sequence[int]] | None = None,
) -> tuple[Run, ...]:
    """Find which tokens of a prompt stand in sources, whatever their positions there.

    Windows that both have are anchors; from there on tokens are compared, in both directions, so
    a run ends where its source differs. Of several sources at one anchor, one whose run is exact
    is taken; then the one whose run ends last; then the longest; then the source that shares most
    windows with the prompt, as its KV has seen most of what is in this prompt; then the latest.

    Args:
        library: what was saved. It isn't changed: call its `use` for the sources that are used.
        token_ids: the prompt. An array of int32 saves the conversion.
        space: whose prompt it is. Sources of another space are not seen.
        exact_tokens: how many leading tokens are had already; no run begins before them.
        segments: ``[[first, end], ...]``, tokens of the prompt without overlap. If they are given,
            each is a run of its own where one source has all of it, and nothing else is reused.
            Segments shorter than 63 tokens may not be found.

    Returns:
        Runs of a window or more, in the order of the prompt, without overlap.

    Raises:
        ValueError: a segment is malformed, outside the prompt, or overlaps another one.
    """
    ids = np.asarray(token_ids, np.int32)
    wanted = None if segments is None else checked_segments(segments, len(ids))
    prompt = _Prompt(ids, library.anchors(ids, space), library)
    if wanted is None:
        return tuple(prompt.runs(exact_tokens))
    whole = (prompt.whole(first, end) for first, end in wanted)
    cut = (run.within(exact_tokens, len(ids)) for run in whole if run is not None)
    return tuple(run for run in cut if run is not None)


@dataclass(frozen=True)
class _Prompt:
    """A prompt, and where its windows may stand."""

    token_ids: NDArray[np.int32]
    anchors: Anchors
    library: Library

    def runs(self, begin: int) -> Iterator[Run]:
        """The best run at each anchor from token ``begin`` on that no run before has covered."""
        stride_tokens = self.library.stride_tokens
        for start in self.anchors.starts:
            if start < begin:
                continue
            # Each source that has the passage here has a window within the next stride.
            near = self.anchors.between(start, start + stride_tokens, _MOST_COMPARED)
            best = self._best((self._around(anchor, begin), anchor) for anchor in near)
            if best is not None:
                yield best
                begin = best.end

    def whole(self, first: int, end: int) -> Run | None:
        """The best run of exactly tokens ``[first, end)``."""
        last = end - self.library.window_tokens
        near = self.anchors.between(first, last + 1, _MOST_COMPARED)
        around = ((self._around(anchor, first), anchor) for anchor in near)
        return self._best(
            (cut, anchor)
            for run, anchor in around
            if run is not None
            and (cut := run.within(first, end)) is not None
            and cut.tokens == end - first
        )

    def _around(self, anchor: Anchor, begin: int) -> Run | None:
        """The run through ``anchor``, from token ``begin`` of the prompt on at the earliest.

        None where the tokens differ, and only the hashes are equal.
        """
        saved, start, at = anchor.source.token_ids, anchor.start, anchor.source_start
        ahead = leading_equal(saved[at:], self.token_ids[start:])
        if ahead < self.library.window_tokens:
            return None
        before = trailing_equal(saved[:at], self.token_ids[begin:start])
        run = Run(start - before, before + ahead, anchor.source, at - before)
        return replace(run, is_exact=True) if self._is_exact(run) else run

    def _is_exact(self, run: Run) -> bool:
        if run.source.position != 0 or run.shift != 0:
            return False
        return np.array_equal(run.source.token_ids[: run.start], self.token_ids[: run.start])

    def _best(self, found: Iterable[tuple[Run | None, Anchor]]) -> Run | None:
        """The best of the runs at some anchors; the first of equal ones, as it is the latest."""
        ranked = (
            ((run.is_exact, run.end, run.tokens, anchor.shared_windows), run)
            for run, anchor in found
            if run is not None
        )
        return max(ranked, key=itemgetter(0), default=(None, None))[1]
