"""What an engine does to keep blocks that it takes back until they are copied out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class BlockPins(Protocol):
    """Keeps blocks from being given to other requests; for the scheduler's thread.

    Without it a step that writes such blocks waits for their copies.
    """

    def pin(self, job: int, block_ids: Sequence[int]) -> None:
        """The save ``job`` copies ``block_ids``, which some request has now: keep them."""

    def unpin(self, job: int) -> None:
        """The save has ended; nothing happens where it has pinned nothing."""


class NoPins:
    """Keeps nothing: steps wait for copies instead."""

    def pin(self, job: int, block_ids: Sequence[int]) -> None:
        """See :class:`BlockPins`."""

    def unpin(self, job: int) -> None:
        """See :class:`BlockPins`."""
