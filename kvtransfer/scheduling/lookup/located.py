"""Says which chunks the store holds, and in which tier each was found."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class Located(Set[str]):
    """A set of keys that the store holds; ``located[key]`` names the tier that serves the key.

    Args:
        tiers: names of tiers by key.
    """

    __slots__ = ("_tiers",)

    def __init__(self, tiers: Mapping[str, str]) -> None:
        self._tiers = tiers

    @property
    def by_key(self) -> Mapping[str, str]:
        """The tier of each key; faster to look into than the set, where many keys are sought."""
        return self._tiers

    def __contains__(self, key: object) -> bool:
        return key in self._tiers

    def __iter__(self) -> Iterator[str]:
        return iter(self._tiers)

    def __len__(self) -> int:
        return len(self._tiers)

    def __getitem__(self, key: str) -> str:
        return self._tiers[key]

    def tiers(self, keys: Sequence[str]) -> list[str | None]:
        """For each of ``keys``, in order, the tier that serves it; None: the store lacks it."""
        return list(map(self._tiers.get, keys))

    def samples(self) -> dict[str, str]:
        """One key of each tier that serves any, by the tier's name."""
        return {tier: key for key, tier in self._tiers.items()}

    def only(self, keys: Iterable[str]) -> Located:
        """What is located of ``keys``."""
        tiers = self._tiers
        return Located({key: tiers[key] for key in keys if key in tiers})

    @classmethod
    def _from_iterable(cls, keys: Iterable[str]) -> Set[str]:  # type: ignore[override]
        """What set operations make is a plain set."""
        return frozenset(keys)


NOTHING = Located({})
"""The answer where the store holds none of the keys, or did not say in time."""
