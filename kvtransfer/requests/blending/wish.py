"""What a request asks of blending, and where that is found out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from kvtransfer.passages.recompute import First

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.passages.recompute import Recompute
    from kvtransfer.requests.request_state import RequestState


@dataclass(frozen=True)
class Wish:
    """How a request that may be blended is blended."""

    recompute: Recompute = field(default_factory=First)
    """How much of the begin of each passage is computed anew."""
    segments: Sequence[Sequence[int]] | None = None
    """The passages of the prompt, as of :func:`kvtransfer.passages.match.match`; None: any."""


class Wishes(Protocol):
    """Tells which requests of an engine may be blended; for the scheduler's thread."""

    @property
    def are_possible(self) -> bool:
        """Whether any request may be; otherwise nothing is learned."""

    def of(self, state: RequestState) -> Wish | None:
        """The wish of a request that is named; None: it isn't to be blended, or can't be."""


class NoWishes:
    """Implements :class:`Wishes` for engines of which no request is blended."""

    are_possible = False

    def of(self, state: RequestState) -> Wish | None:
        """No wish."""
        return None
