"""What is set aside for chunks that a request will load, until they get their jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class Promise:
    """Chunks to be loaded one after the other; what they need is set aside until their turn."""

    slots: list[int | None]
    """Pinned; None: to be fetched, for which a slot is left."""
    turn: int
    is_shared: bool
    """Others wait for one of them, too."""
    begun: int = 0
    """So many have their job."""

    @property
    def left(self) -> int:
        """Chunks without a job."""
        return len(self.slots) - self.begun

    @property
    def fetches(self) -> int:
        """Those of them that host memory didn't hold."""
        return self.slots[self.begun :].count(None)

    def begin(self, most: int) -> list[int]:
        """Slots of the next chunks, at most so many and none behind one that has no slot."""
        slots: list[int] = []
        for slot in self.slots[self.begun : self.begun + most]:
            if slot is None:
                break
            slots.append(slot)
        self.begun += len(slots)
        return slots


def end_of_room(slots: Sequence[int | None], room: int) -> int:
    """How many of ``slots``, from the first on, can be had if ``room`` is all there is to claim."""
    wanted = [i for i, slot in enumerate(slots) if slot is None][max(0, room) :]
    return wanted[0] if wanted else len(slots)
