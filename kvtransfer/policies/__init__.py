"""What leaves host memory first: one policy a file, all behind ``Policy``."""

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
    """Orders the slots whose chunks nothing uses; for one thread.

    Only slots that ``rest`` has named since they were last used are ever given by ``evict``.
    """

    def note_request(self, keys: Sequence[str], slots: Mapping[str, int]) -> None:
        """A request for the chunks ``keys``, in the order of their tokens, has come.

        Args:
            keys: held or not.
            slots: those that are held.
        """

    def add(self, slots: Sequence[int], keys: Sequence[str], after: int | None) -> None:
        """``slots``, in use, hold ``keys`` from now on.

        Each continues the one before it, and the first what is in ``after``.
        """

    def rest(self, slots: Iterable[int]) -> None:
        """Nothing uses the chunks in ``slots`` any more."""

    def use(self, slots: Sequence[int]) -> None:
        """Something uses the chunks in ``slots``, which rested."""

    def evict(self, most: int) -> list[int]:
        """The resting slots whose chunks go next, at most so many; they are gone from here on."""

    def chance(self, key: str) -> float:
        """That ``key``, just evicted, is asked for again; 1 where nothing is known."""

    def drop(self, slot: int) -> None:
        """The chunk in ``slot``, at rest or not, is no good."""


POLICIES: dict[str, Callable[[int], Policy]] = {"learned": Learned, "lru": LRU, "arc": ARC}
OLD_NAMES = {"odds": "learned"}
"""Names that settings may still have in this release, and what each is called now."""


def open_policy(name: str, slots: int) -> Policy:
    """The policy ``name`` for ``slots`` slots.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in POLICIES:
        raise ConfigError(f"eviction policy {name!r} is not one of {', '.join(POLICIES)}")
    return POLICIES[name](slots)
