"""What the scheduler's side and its workers tell each other about the model's weights."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

UNKNOWABLE = ""
"""The fingerprint of weights that can't be told from others; nothing is cached with them."""


class Holding(NamedTuple):
    """What one worker holds."""

    fingerprint: str
    checked_in: int
    """Number of the last plan with which it has made sure of that; 0: before the first."""


class Expectation(NamedTuple):
    """What the scheduler knows of the weights as it sends a plan."""

    plan: int
    """Number of the plan, from 1."""
    by_rank: tuple[str, ...] | None = None
    """Fingerprints of all workers; None while they are unknown."""
    reread: bool = False
    """Read them again, even if nothing seems to have touched them."""

    def fits(self, rank: int, fingerprint: str) -> bool:
        """Whether the plan was made for the weights that worker ``rank`` holds."""
        return self.by_rank is not None and self.by_rank[rank] == fingerprint


@lru_cache(maxsize=16)
def weights_name(by_rank: tuple[str, ...]) -> str | None:
    """One name for the weights of all ranks, a part of every key; None: nothing may be cached.

    Ranks that tell the same have one name, however many they are.
    """
    if UNKNOWABLE in by_rank:
        return None
    if len(set(by_rank)) == 1:
        by_rank = by_rank[:1]
    return hashlib.sha256(" ".join(by_rank).encode()).hexdigest()[:32]
