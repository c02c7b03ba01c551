"""Finds which prefix of a request can be loaded, from which tiers. Pure but for what it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.requests.timing import HOST
from kvtransfer.scheduling.cost.runs import runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.scheduling.cost.runs import Run
    from kvtransfer.scheduling.lookup.located import Located
    from kvtransfer.scheduling.planner import Planner

# A hit that host memory has no room for is made shorter this often before it is given up.
_TRIES = 4


class Hits:
    """Prefixes of which host memory or a store holds what continuing behind them reads.

    Args:
        planner: its index says what host memory holds and what there is room for.
        groups: of the model.
        tiers: the names of all tiers, fastest first.
    """

    def __init__(self, planner: Planner, groups: Groups, tiers: Sequence[str]) -> None:
        self._planner = planner
        self._groups = groups
        self._depths = {name: depth for depth, name in enumerate(tiers)}

    def longest(
        self,
        keys: Sequence[str],
        stored: Located,
        local_tokens: int,
        most_tokens: int | None = None,
    ) -> int:
        """How far the longest hit reaches; ``local_tokens`` where there is none.

        Args:
            keys: of the request's chunks, from its first token on.
            stored: pieces that the store holds.
            local_tokens: leading tokens that the engine has itself.
            most_tokens: how far it may reach; None: as far as ``keys`` do.
        """
        groups, size = self._groups, self._groups.chunk_tokens
        if most_tokens is None:
            most_tokens = len(keys) * size
        if groups.are_one:
            first = local_tokens // size
            loadable = self._planner.loadable(keys[first : most_tokens // size], stored.by_key)
            return max(local_tokens, (first + loadable) * size)
        return self._longest_with_room(keys, stored, local_tokens, most_tokens)

    def runs(
        self,
        keys: Sequence[str],
        stored: Located,
        local_tokens: int,
        hit_tokens: int,
    ) -> list[Run]:
        """The tokens of a hit behind ``local_tokens``, by the tier that they come from."""
        order = LoadOrder(self._groups, keys, hit_tokens, local_tokens)
        slots = self._planner.index.find_all(order.keys)
        tiers = [
            tier if slot is None and tier else HOST
            for slot, tier in zip(slots, stored.tiers(order.keys), strict=True)
        ]
        return self.runs_of(order, tiers)

    def runs_of(self, order: LoadOrder, tiers: Sequence[str]) -> list[Run]:
        """The tokens that ``order`` brings, by tier; ``tiers`` are those of its pieces.

        A chunk comes from the slowest tier of its pieces; one of which none is needed costs as
        little as host memory.
        """
        if not self._groups.are_one:
            tiers = self._slowest(order, tiers)
        size = self._groups.chunk_tokens
        return runs_of(tiers, size, order.skip_tokens % size)

    def _longest_with_room(
        self, keys: Sequence[str], stored: Located, local_tokens: int, most_tokens: int
    ) -> int:
        index, size = self._planner.index, self._groups.chunk_tokens

        def is_held(key: str) -> bool:
            return key in index or key in stored

        for _ in range(_TRIES):
            hit = self._groups.longest_hit(keys, is_held, most_tokens, local_tokens)
            if hit == local_tokens:
                return hit
            pieces = LoadOrder(self._groups, keys, hit, local_tokens).keys
            loadable = self._planner.loadable(pieces, stored.by_key)
            if loadable == len(pieces):
                return hit
            most_tokens = min(
                hit - size, local_tokens + (hit - local_tokens) * loadable // len(pieces)
            )
        return local_tokens

    def _slowest(self, order: LoadOrder, tiers: Sequence[str]) -> list[str]:
        """The slowest tier of each chunk's pieces."""
        slowest: dict[int, str] = {}
        for chunk, tier in zip(order.chunks(), tiers, strict=True):
            if self._depths[tier] >= self._depths[slowest.get(chunk, HOST)]:
                slowest[chunk] = tier
        return [slowest.get(chunk, HOST) for chunk in order.all_chunks]
