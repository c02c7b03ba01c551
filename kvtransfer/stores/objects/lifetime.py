"""Judges how long an object lives on, by the time at which the server last wrote it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kvtransfer.stores.settings import StoreSettings


def age_s(modified: datetime) -> float:
    """Return the seconds since ``modified``, which is a server's, by the clock of this machine."""
    return time.time() - modified.timestamp()


class Lifetime:
    """Knows the time to live of objects, which their servers don't know.

    An object is renewed when half of it is over: that takes requests that cost money.
    """

    def __init__(self, settings: StoreSettings, age_s: Callable[[datetime], float]) -> None:
        self._ttl_s = settings.ttl_s
        self._hits_renew = settings.hit_ttl_s is not None
        self._age_s = age_s

    def is_over(self, modified: datetime) -> bool:
        """Whether an object that was last written at ``modified`` is to be a miss."""
        return self._ttl_s is not None and self._age_s(modified) >= self._ttl_s

    def is_half_over(self, modified: datetime) -> bool:
        """Whether a put of the same key has to renew it."""
        return self._ttl_s is not None and self._age_s(modified) >= self._ttl_s / 2

    def is_renewed_by_hit(self, modified: datetime) -> bool:
        """Whether a hit has to renew it."""
        return self._hits_renew and self.is_half_over(modified)
