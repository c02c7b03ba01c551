"""Says how many tokens at the begin of a run are computed anew, so that they see what is before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Recompute(Protocol):
    """A choice of tokens of a run; exact runs aren't asked about."""

    def of_run(self, tokens: int) -> int:
        """How many leading tokens of a run of ``tokens`` tokens are computed anew."""


@dataclass(frozen=True)
class First:
    """The same number of tokens of each run.

    Raises:
        ValueError: ``tokens`` is negative.
    """

    tokens: int = 16

    def __post_init__(self) -> None:
        if self.tokens < 0:
            raise ValueError(f"first={self.tokens}: pass a number of tokens, 0 or more")

    def of_run(self, tokens: int) -> int:
        """See :class:`Recompute`."""
        return min(self.tokens, tokens)


@dataclass(frozen=True)
class Share:
    """The same share of each run, rounded up.

    Raises:
        ValueError: ``share`` isn't within 0 and 1.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share={self.share}: pass a part of each run, from 0 to 1")

    def of_run(self, tokens: int) -> int:
        """See :class:`Recompute`."""
        return min(math.ceil(self.share * tokens), tokens)
