"""Follows the gaps of a blended request, from its admission until all of them are computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.passages.gaps import Blend


@dataclass
class GapProgress:
    """Gives out the gaps of ``blend`` in order, in pieces of any size."""

    blend: Blend
    began_s: float
    """When the copies began, or the gaps once the copies have ended."""
    left: list[tuple[int, int]] = field(init=False)
    """Tokens ``[start, end)`` that no job has got."""

    def __post_init__(self) -> None:
        self.left = [(gap.start, gap.end) for gap in self.blend.gaps]

    def take(self, most_tokens: int) -> tuple[tuple[int, int], ...]:
        """The next gaps, of at most ``most_tokens`` together; the last one may be cut."""
        taken: list[tuple[int, int]] = []
        while self.left and most_tokens > 0:
            start, end = self.left.pop(0)
            cut = min(end, start + most_tokens)
            taken.append((start, cut))
            most_tokens -= cut - start
            if cut < end:
                self.left.insert(0, (cut, end))
        return tuple(taken)
