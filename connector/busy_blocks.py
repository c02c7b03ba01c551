"""Blocks that are being copied out, and so must not be written."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BusyBlocks:
    """By copy; whole sets at a time, for a step begins and ends hundreds of them."""

    def __init__(self) -> None:
        self._copies: dict[int, Sequence[int]] = {}
        self._blocks: set[int] = set()
        self._again: Counter[int] = Counter()
        """Copies of a block beyond the first: after a reset it may be saved under another key."""

    def __bool__(self) -> bool:
        return bool(self._copies)

    def begin(self, job: int, block_ids: Sequence[int]) -> None:
        """They are busy until ``job`` ends."""
        self._again.update(self._blocks.intersection(block_ids))
        self._copies[job] = block_ids
        self._blocks.update(block_ids)

    def end(self, job: int) -> None:
        """The copy has ended."""
        block_ids = self._copies.pop(job)
        again = self._again.keys() & set(block_ids) if self._again else ()
        self._blocks.difference_update(block_ids)
        self._blocks.update(again)
        for block in again:
            self._again[block] -= 1
            if not self._again[block]:
                del self._again[block]

    def holds_any(self, block_ids: Sequence[int]) -> bool:
        """Whether one of them is busy."""
        return not self._blocks.isdisjoint(block_ids)
