"""Says what the numbers mean that a client answers with; each kind of client has its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@dataclass(frozen=True)
class Codes:
    """The negative numbers of one client that are no failure of the store, and what others mean."""

    absent: Collection[int]
    """The value isn't there, or can't be read now: a miss."""
    unfit: Collection[int]
    """The value is longer than the room for it."""
    busy: Collection[int]
    """Another call writes or reads the value: a miss, or to be tried again."""
    full: Collection[int]
    """The store has no room for the value."""
    meanings: Mapping[int, str] = field(default_factory=dict)
    """What the other numbers mean, for messages."""

    def require(self, codes: Iterable[int], *allowed: Collection[int]) -> None:
        """Check that the client has failed for no other reason than those ``allowed``.

        Raises:
            StoreError: it has; the text says why.
        """
        for code in codes:
            if code < 0 and not any(code in kinds for kinds in allowed):
                raise StoreError(f"{self.meanings.get(code, 'its client failed')} ({code})")
