"""Tracks blocks that are being copied out, or are still to be, and must not be written before."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence, Set


class BusyBlocks:
    """Busy blocks by copy, in whole sets: a step begins and ends hundreds of copies.

    A copy is named by the number of its job, or by any other value while it has no job.
    """

    def __init__(self) -> None:
        self._copies: dict[Hashable, Sequence[int]] = {}
        self._blocks: set[int] = set()
        self._again: Counter[int] = Counter()
        """Copies of a block beyond the first: after a reset it may be saved under another key."""
        self._are_rewritten = False

    def __bool__(self) -> bool:
        return bool(self._copies)

    def begin(self, copies: Mapping[Any, Sequence[int]]) -> None:
        """The blocks of each copy are busy until it ends."""
        self._copies.update(copies)
        before = len(self._blocks)
        self._blocks.update(*copies.values())
        if len(self._blocks) < before + sum(map(len, copies.values())):
            times = Counter(chain.from_iterable(self._copies.values()))
            self._again = times - Counter(self._blocks)

    def end(self, copy: Hashable) -> None:
        """The copy has ended."""
        block_ids = self._copies.pop(copy)
        self._blocks.difference_update(block_ids)
        if self._again:
            self._keep_busy(self._again.keys() & set(block_ids))

    def note_write(self, block_ids: Sequence[int]) -> None:
        """The step that is being planned writes ``block_ids``."""
        if self._blocks and not self._are_rewritten:
            self._are_rewritten = not self._blocks.isdisjoint(block_ids)

    def take_rewritten(self) -> bool:
        """Whether a busy block was noted as written since the last call."""
        taken, self._are_rewritten = self._are_rewritten, False
        return taken

    def _keep_busy(self, again: Set[int]) -> None:
        self._blocks.update(again)
        for block in again:
            self._again[block] -= 1
            if not self._again[block]:
                del self._again[block]
