"""Finds the runs of a prompt: passages that sources have too, at any position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.passages.equal_tokens import leading_equal, trailing_equal
from kvtransfer.passages.run import Run
from kvtransfer.passages.segments import checked_segments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence, Set

    from numpy.typing import NDArray

    from kvtransfer.passages.anchors import Anchors
    from kvtransfer.passages.library import Library
    from kvtransfer.passages.source import Source
    from kvtransfer.passages.space import Space

_MOST_COMPARED = 4
"""Sources that are compared with the prompt at one place, by the windows that they share."""


def match(
    library: Library,
    token_ids: Sequence[int] | NDArray[np.int32],
    space: Space,
    *,
    exact_tokens: int = 0,
    segments: Sequence[Sequence[int]] | None = None,
    missing: Set[str] = frozenset(),
) -> tuple[Run, ...]:
    """Find which tokens of a prompt stand in sources, whatever their positions there.

    Windows that both have are anchors; from there on tokens are compared, in both directions, so
    a run ends where its source differs. Of several sources at one place, the four that share most
    windows with the prompt are compared, as their KV has seen most of what is in this prompt. One
    whose run is exact is taken, or the one whose run ends last, or the first of these four.

    Args:
        library: what was saved. It isn't changed: call its `use` for the sources that are used.
        token_ids: the prompt. An array of int32 saves the conversion.
        space: whose prompt it is. Sources of another space are not seen.
        exact_tokens: how many leading tokens are had already; no run begins before them.
        segments: ``[[first, end], ...]``, tokens of the prompt without overlap. If they are given,
            each is a run of its own where one source has all of it, and nothing else is reused.
            Segments shorter than 63 tokens may not be found.
        missing: keys of chunks that can't be had; no run reads them.

    Returns:
        Runs of a window or more, in the order of the prompt, without overlap.

    Raises:
        ValueError: a segment is malformed, outside the prompt, or overlaps another one.
    """
    ids = np.asarray(token_ids, np.int32)
    wanted = None if segments is None else checked_segments(segments, len(ids))
    prompt = _Prompt(ids, library.anchors(ids, space), library, missing)
    if wanted is None:
        return tuple(prompt.runs(exact_tokens))
    spans = (prompt.spanning(first, end) for first, end in wanted)
    cut = (run.within(exact_tokens, len(ids)) for run in spans if run is not None)
    return tuple(run for run in cut if run is not None)


@dataclass(frozen=True)
class _Prompt:
    """A prompt, and where its windows may stand."""

    token_ids: NDArray[np.int32]
    anchors: Anchors
    library: Library
    missing: Set[str]

    def runs(self, begin: int) -> Iterator[Run]:
        """The best run at each anchor from token ``begin`` on that no run before has covered."""
        stride_tokens = self.library.stride_tokens
        for start in self.anchors.starts:
            if start < begin:
                continue
            # Each source that has the passage here has a window within the next stride.
            best = _best(self._from_anchors(start, start + stride_tokens))
            if best is not None:
                yield self._with_tokens_before(best, begin)
                begin = best.end

    def spanning(self, first: int, end: int) -> Run | None:
        """The best run of exactly tokens ``[first, end)``."""
        found = self._from_anchors(first, end - self.library.window_tokens + 1)
        around = ((self._with_tokens_before(run, first), shared) for run, shared in found)
        best = _best(it for it in around if it[0].start == first and it[0].end >= end)
        return best and best.within(first, end)

    def _from_anchors(self, begin: int, end: int) -> Iterator[tuple[Run, int]]:
        """The run from each anchor in ``[begin, end)`` on, and its source's shared windows."""
        for anchor in self.anchors.between(begin, end, _MOST_COMPARED):
            source, start, at = anchor.source, anchor.start, anchor.source_start
            there = source.stretch(at, self.missing)
            tokens = leading_equal(source.token_ids[at : there.stop], self.token_ids[start:])
            if tokens >= self.library.window_tokens:  # not only the hashes are equal
                run = Run(start, tokens, source, at, self._is_exact(source, start, at))
                yield run, anchor.shared_windows

    def _is_exact(self, source: Source, start: int, at: int) -> bool:
        if source.position != 0 or start != at:
            return False
        return np.array_equal(source.token_ids[:at], self.token_ids[:start])

    def _with_tokens_before(self, run: Run, begin: int) -> Run:
        """``run``, begun as far before as the tokens are equal, but not before ``begin``."""
        there = run.source.stretch(run.source_start, self.missing)
        saved = run.source.token_ids[there.start : run.source_start]
        tokens = trailing_equal(saved, self.token_ids[begin : run.start])
        start, source_start = run.start - tokens, run.source_start - tokens
        return Run(start, run.tokens + tokens, run.source, source_start, run.is_exact)


def _best(runs: Iterable[tuple[Run, int]]) -> Run | None:
    """The best of runs with the shared windows of their sources; the first of equal ones."""
    run, _ = max(runs, key=_rank, default=(None, 0))
    return run


def _rank(found: tuple[Run, int]) -> tuple[bool, int, int]:
    run, shared_windows = found
    return run.is_exact, run.end, shared_windows
