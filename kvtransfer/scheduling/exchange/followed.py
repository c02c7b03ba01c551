"""Decides which spaces are read from a feed, and when. Pure; callers hold a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.passages.space import Space


@dataclass
class _Times:
    used_s: float
    due_s: float


class Followed:
    """The spaces that are followed, least recently used first.

    Args:
        most_spaces: one more, and the least recently used is forgotten.
        poll_s: time between two readings of one space.
        unused_s: a space that hasn't been used for this time isn't read until it is used again.
    """

    def __init__(self, most_spaces: int, poll_s: float, unused_s: float) -> None:
        self._most_spaces = most_spaces
        self._poll_s = poll_s
        self._unused_s = unused_s
        self._times: dict[Space, _Times] = {}

    def __contains__(self, space: Space) -> bool:
        return space in self._times

    def use(self, space: Space, now_s: float) -> bool:
        """Note that ``space`` is used; return whether it is to be read now because of that."""
        times = self._times.pop(space, None) or _Times(now_s - self._unused_s, now_s)
        was_idle = now_s - times.used_s >= self._unused_s
        times.used_s = now_s
        self._times[space] = times
        while len(self._times) > self._most_spaces:
            del self._times[next(iter(self._times))]
        return was_idle

    def begin_due(self, now_s: float) -> list[Space]:
        """Return the spaces that are to be read now; each is due again after the poll's time."""
        due = [space for space, times in self._in_use(now_s) if times.due_s <= now_s]
        for space in due:
            self._times[space].due_s = now_s + self._poll_s
        return due

    def wait_s(self, now_s: float) -> float | None:
        """Return the time until a space is due; None: not before one is used."""
        dues = [times.due_s for _, times in self._in_use(now_s)]
        return max(min(dues) - now_s, 0.0) if dues else None

    def _in_use(self, now_s: float) -> list[tuple[Space, _Times]]:
        return [
            (space, times)
            for space, times in self._times.items()
            if now_s - times.used_s < self._unused_s
        ]
