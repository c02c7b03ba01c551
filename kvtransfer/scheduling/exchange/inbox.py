"""Holds what was learned until it is taken, in bounded memory; callers hold a lock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kvtransfer.passages.space import Space

    Learned: TypeAlias = tuple[Space, NDArray[np.int32]]


class Inbox:
    """What was learned, oldest first, at most ``most_bytes`` of token ids."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._learned: deque[Learned] = deque()
        self._nbytes = 0

    def add(self, learned: Learned) -> int:
        """Add ``learned`` as the newest; return how many of the oldest were dropped for it."""
        self._learned.append(learned)
        self._nbytes += learned[1].nbytes
        dropped = 0
        while self._nbytes > self._most_bytes:
            self._nbytes -= self._learned.popleft()[1].nbytes
            dropped += 1
        return dropped

    def take(self) -> list[Learned]:
        """Return everything, and hold nothing any more."""
        taken = list(self._learned)
        self._learned.clear()
        self._nbytes = 0
        return taken
