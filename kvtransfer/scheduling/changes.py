"""Logs which chunks came to host memory and which left, in order, until somebody takes the log."""

from __future__ import annotations

from typing import NamedTuple


class Added(NamedTuple):
    """The bytes of the chunk ``key`` are in host memory now, on every rank."""

    key: str


class Removed(NamedTuple):
    """The chunk ``key``, which was added, is no longer found in host memory."""

    key: str


class Cleared(NamedTuple):
    """Forget every chunk that was added: the log got too long, and what follows lists all anew."""


Change = Added | Removed | Cleared


class ChangeLog:
    """The changes since they were last taken.

    Replaying what ``take`` returns, call after call, gives exactly the chunks that are there.

    Args:
        limit: changes to keep; if one more comes, they are dropped, and ``take`` lists all chunks
            anew.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._there: dict[str, None] = {}
        """Keys that were added and not removed, oldest first."""
        self._changes: list[Change] = []
        self._is_lost = False

    def add(self, key: str) -> None:
        """The bytes of ``key`` have come; again is harmless."""
        if key not in self._there:
            self._there[key] = None
            self._note(Added(key))

    def remove(self, key: str) -> None:
        """``key`` is no longer found; one whose bytes never came is not mentioned."""
        if key in self._there:
            del self._there[key]
            self._note(Removed(key))

    def take(self) -> list[Change]:
        """The changes since the last call, oldest first."""
        taken, self._changes = self._changes, []
        if self._is_lost:
            self._is_lost = False
            return [Cleared(), *map(Added, self._there)]
        return taken

    def _note(self, change: Change) -> None:
        if self._is_lost:
            return
        if len(self._changes) == self._limit:
            self._is_lost = True
            self._changes.clear()
            return
        self._changes.append(change)
