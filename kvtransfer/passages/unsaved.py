"""Counts how often passages were computed without being saved, to tell when saving them pays."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from kvtransfer.passages.window_hash import window_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from kvtransfer.passages.space import Space

_WINDOW_TOKENS = 32


class Unsaved:
    """What blended requests have computed between passages that were known.

    Nothing of a blended request is saved. So a new passage among known ones would stay new for
    ever, unless a request is now and then computed whole and saved. All calls must come from one
    thread.

    Args:
        most_windows: how many windows of 32 tokens are counted; the oldest are forgotten.
    """

    def __init__(self, most_windows: int = 1 << 16) -> None:
        self._most_windows = most_windows
        self._seed = secrets.randbits(62)
        self._times: OrderedDict[int, int] = OrderedDict()

    def note(
        self, space: Space, token_ids: NDArray[np.int32], spans: Iterable[tuple[int, int]]
    ) -> None:
        """Tokens ``[first, end)`` of a prompt, for each of ``spans``, are computed and not saved."""
        for first, end in spans:
            for window in self._windows(space, token_ids[first:end]):
                self._times[window] = self._times.get(window, 0) + 1
        while len(self._times) > self._most_windows:
            self._times.popitem(last=False)

    def tokens(
        self, space: Space, token_ids: NDArray[np.int32], spans: Iterable[tuple[int, int]]
    ) -> int:
        """How many tokens of ``spans`` are computed again, each counted as often as it is, and this time.

        Tokens that were not computed before are left out: nothing says that they return.
        """
        if not self._times:  # spares the hashing
            return 0
        return _WINDOW_TOKENS * sum(
            self._times[window] + 1
            for first, end in spans
            for window in self._windows(space, token_ids[first:end])
            if window in self._times
        )

    def forget(
        self, space: Space, token_ids: NDArray[np.int32], spans: Iterable[tuple[int, int]]
    ) -> None:
        """Tokens of these ``spans`` are being saved."""
        for first, end in spans if self._times else ():
            for window in self._windows(space, token_ids[first:end]):
                self._times.pop(window, None)

    def _windows(self, space: Space, token_ids: NDArray[np.int32]) -> list[int]:
        """Cut a span into windows: counted ones wherever they stand, others side by side around."""
        hashes = window_hashes(token_ids, _WINDOW_TOKENS, self._seed)
        windows = (hashes ^ np.uint64(int.from_bytes(space.digest[:8]))).tolist()
        known = [start for start, window in enumerate(windows) if window in self._times]
        found, begin = [], 0
        for start in (*known, len(token_ids)):
            if start >= begin:
                new = range(begin, start - _WINDOW_TOKENS + 1, _WINDOW_TOKENS)
                found += [windows[each] for each in new] + windows[start : start + 1]
                begin = start + _WINDOW_TOKENS
        return found
