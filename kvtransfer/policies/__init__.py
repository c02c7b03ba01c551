"""Eviction policies of host memory, one a file, behind the protocol ``Policy``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from kvtransfer.errors import ConfigError
from kvtransfer.policies.arc import ARC
from kvtransfer.policies.learned import Learned
from kvtransfer.policies.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["OLD_NAMES", "POLICIES", "Policy", "open_policy"]


class Policy(Protocol):
    """Orders the slots that are not pinned; one thread may use it.

    ``evict`` gives only slots that ``unpin`` has named since they were last pinned.
    """

    def resize(self, slots: int) -> None:
        """Decide as for a cache of ``slots`` slots, which may be any of those it was opened for."""

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """Learn from a request, once for each.

        Args:
            keys: its chunks, held or not, in the order of their tokens.
            slots: the slots of the chunks that are held.
        """

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """Take in new chunks: each of ``slots``, which are pinned, now holds one of ``keys``.

        Args:
            slots: as many as there are ``keys``.
            keys: each continues the one before it.
            after: the slot of the chunk before the first; None if that is unknown.
        """

    def unpin(self, slots: Iterable[int]) -> None:
        """Allow the eviction of ``slots``, which were pinned."""

    def pin(self, slots: Sequence[int]) -> None:
        """Prevent the eviction of ``slots``, which were not pinned."""

    def evict(self, most: int) -> list[int]:
        """Evict at most ``most`` slots that are not pinned, in the order of the policy."""

    def chance(self, key: str) -> float:
        """Return the reuse probability of ``key``, which was just evicted; 1 if it is not known."""

    def remove(self, slot: int) -> None:
        """Forget the chunk in ``slot``, pinned or not: it may not be served any more."""


POLICIES: dict[str, Callable[[int], Policy]] = {"learned": Learned, "lru": LRU, "arc": ARC}
OLD_NAMES = {"odds": "learned"}
"""Names that settings may still have in this release, and what each is called now."""


def open_policy(name: str, slots: int) -> Policy:
    """Return the policy ``name`` for a cache of ``slots`` slots.

    Raises:
        ConfigError: there is no policy of that name.
    """
    if name not in POLICIES:
        raise ConfigError(f"eviction policy {name!r} is not one of {', '.join(POLICIES)}")
    return POLICIES[name](slots)
