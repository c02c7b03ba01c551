"""Names the anchors of a prompt: windows that sources seem to have too."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.passages.source import Source
    from kvtransfer.passages.window_table import Hits


class Anchor(NamedTuple):
    """A window of the prompt, and where a source seems to have it."""

    start: int
    """The first token in the prompt."""
    source: Source
    source_start: int
    """The first token in the source."""
    shared_windows: int
    """How many windows of the whole prompt the source has."""


class Anchors:
    """The anchors of a prompt. Equal hashes don't prove equal tokens.

    Args:
        hits: windows of the prompt that may stand in sources.
        sources: the sources by number.
    """

    def __init__(self, hits: Hits, sources: Mapping[int, Source]) -> None:
        self.starts: list[int] = np.unique(hits.prompt_starts).tolist()
        """The tokens of the prompt at which anchors begin, ascending."""
        self._hits = hits
        self._sources = sources
        self._shared_windows = hits.windows_of_source()

    def between(self, begin: int, end: int, most: int) -> list[Anchor]:
        """Anchors that begin in tokens ``[begin, end)`` of the prompt.

        Of those that would be the same run, it is the first. The sources that share most windows
        with the prompt come first, and the latest of equal ones.
        """
        hits = self._hits
        low, high = np.searchsorted(hits.prompt_starts, [begin, end])
        shifts = hits.source_starts[low:high] - hits.prompt_starts[low:high]
        _, firsts = np.unique((hits.sources[low:high] << 32) + shifts, return_index=True)
        firsts += low
        by_rank = np.argsort(self._shared_windows[firsts], kind="stable")[::-1]
        return [self._anchor(hit) for hit in firsts[by_rank[:most]].tolist()]

    def _anchor(self, hit: int) -> Anchor:
        hits = self._hits
        return Anchor(
            int(hits.prompt_starts[hit]),
            self._sources[int(hits.sources[hit])],
            int(hits.source_starts[hit]),
            int(self._shared_windows[hit]),
        )
