"""Finds which windows of a prompt may stand in sources, by the hashes of the windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CELLS_A_WINDOW = 16
_FEWEST_BITS = 10
_REMOVED_SHARE = 8
"""Windows of removed sources stay until they are more than one in this number."""
_START = 2**32 - 1


@dataclass(frozen=True)
class Hits:
    """Windows of a prompt whose hashes are those of windows of sources.

    Equal hashes don't prove equal tokens. The three arrays have one item a hit, in the order of
    the prompt, and the hits of one window in the order in which their sources were added.
    """

    prompt_starts: NDArray[np.int64]
    """The prompt's token at which the window begins."""
    sources: NDArray[np.int64]
    """The source's number."""
    source_starts: NDArray[np.int64]
    """The source's token at which its window begins."""

    def windows_of_source(self) -> NDArray[np.int64]:
        """For each hit, how many windows of the prompt its source has."""
        is_new = np.ones(len(self.sources), bool)  # a source may repeat a window
        is_new[1:] = (np.diff(self.prompt_starts) != 0) | (np.diff(self.sources) != 0)
        _, numbers = np.unique(self.sources, return_inverse=True)
        return np.bincount(numbers[is_new], minlength=1)[numbers]


class WindowTable:
    """The hashes of windows of numbered sources, sorted, so that a prompt's are looked up at once.

    A filter comes first: a table of cells, one for some of the leading bits of a hash, says which
    hashes can't be there. It is small enough for the processor's cache, and most windows of a
    prompt end there.
    """

    def __init__(self) -> None:
        self._hashes = np.empty(0, np.uint64)
        self._places = np.empty(0, np.int64)  # the source's number << 32 | the window's first token
        self._removed: list[int] = []
        self._removed_windows = 0
        self._refill_filter()

    def __len__(self) -> int:
        return len(self._hashes) - self._removed_windows

    def add(self, source: int, hashes: NDArray[np.uint64], stride_tokens: int) -> None:
        """Add windows of a source.

        Args:
            source: its number, which is higher than that of any source before.
            hashes: of its windows, one each ``stride_tokens`` tokens.
            stride_tokens: tokens from the begin of a window to that of the next.
        """
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        behind = np.searchsorted(self._hashes, hashes, side="right")
        self._hashes = np.insert(self._hashes, behind, hashes)
        self._places = np.insert(self._places, behind, source << 32 | order * stride_tokens)
        if len(self._hashes) * _CELLS_A_WINDOW > len(self._filter):
            self._refill_filter()
        else:
            self._filter[hashes >> self._filter_shift] = True

    def remove(self, source: int, windows: int) -> None:
        """Remove the source of this number, which has this number of windows.

        Its windows are taken out later, with those of other sources.
        """
        self._removed.append(source)
        self._removed_windows += windows
        if self._removed_windows * _REMOVED_SHARE > len(self._hashes):
            self._take_out_removed()

    def hits(self, hashes: NDArray[np.uint64], most: int) -> Hits:
        """Find a prompt's windows.

        Args:
            hashes: the hash of the window that begins at each token.
            most: how many hits a window may have; the latest are taken.
        """
        near = np.flatnonzero(self._filter[hashes >> self._filter_shift])
        sought = hashes[near]
        ends = np.searchsorted(self._hashes, sought, side="right")
        counts = np.minimum(ends - np.searchsorted(self._hashes, sought), most)
        # The last `counts` places before each end, as one flat array.
        flat = np.arange(counts.sum()) + np.repeat(ends - np.cumsum(counts), counts)
        places, prompt_starts = self._places[flat], np.repeat(near, counts)
        if self._removed:
            stay = self._stays(places)
            places, prompt_starts = places[stay], prompt_starts[stay]
        return Hits(prompt_starts, places >> 32, places & _START)

    def _take_out_removed(self) -> None:
        stay = self._stays(self._places)
        self._hashes, self._places = self._hashes[stay], self._places[stay]
        self._removed, self._removed_windows = [], 0
        self._refill_filter()

    def _stays(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        return ~np.isin(places >> 32, self._removed)

    def _refill_filter(self) -> None:
        bits = max(_FEWEST_BITS, (2 * _CELLS_A_WINDOW * len(self._hashes)).bit_length())
        self._filter = np.zeros(2**bits, bool)
        self._filter_shift = np.uint64(64 - bits)
        self._filter[self._hashes >> self._filter_shift] = True
