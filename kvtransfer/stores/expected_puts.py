"""Remembers which of the keys that will be put next were missing when they were asked for."""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What was missing may be there by now. It is then written again, which is waste but no mistake.
_BELIEVED_S = 5.0


class ExpectedPuts:
    """Keys that need no look before their put; safe to use from several threads.

    ``clock`` returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._missing: frozenset[str] = frozenset()
        self._until_s = 0.0
        self._lock = Lock()

    def learn(self, missing: Iterable[str]) -> None:
        """Remember that the keys ``missing`` are not there, and forget all others."""
        with self._lock:
            self._missing = frozenset(missing)
            self._until_s = self._clock() + _BELIEVED_S

    def has(self, key: str) -> bool:
        """Whether ``key`` was missing a moment ago, and wasn't taken since."""
        with self._lock:
            return key in self._missing and self._clock() < self._until_s

    def take(self, key: str) -> bool:
        """Whether ``key`` was missing a moment ago; each key is taken once."""
        with self._lock:
            was_missing = key in self._missing and self._clock() < self._until_s
            self._missing -= {key}
        return was_missing
