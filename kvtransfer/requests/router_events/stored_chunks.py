"""Makes router events of what this process puts into stores, as far as it knows. Pure.

A store doesn't say what it loses. An entry counts as gone when its time to live is over by our
clock, when this process evicts it or can't put it, and when a later lookup doesn't find it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.requests.router_events.event import Removed, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from kvtransfer.requests.router_events.event import (
        BlockHash,
        ChunkBlocks,
        Place,
        RouterEvent,
    )

# Of each tier we remember this many chunks; one more is forgotten, which routers are told.
MOST_CHUNKS = 65_536


@dataclass
class _Put:
    key: str
    blocks: ChunkBlocks
    planned_s: float
    lacking: set[str] = field(default_factory=set)
    """Tiers that did not take it on some rank."""
    is_whole: bool = True
    """Whether every rank has put it, as far as they have told."""


class _Known(NamedTuple):
    hashes: tuple[BlockHash, ...]
    planned_s: float
    """When its put was planned: from then on its time to live counts, for it was put no earlier."""
    since_s: float
    """When it was known to be there."""


class StoredChunks:
    """The chunks in stores that routers know.

    Args:
        places: of the tiers that routers are told of, fastest first.
        ttl_s: how long an entry lives after it was put, in seconds; None: until it is evicted.
        clock: seconds that never go back.
        most_chunks: how many of each tier are remembered.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        ttl_s: float | None,
        clock: Callable[[], float],
        most_chunks: int = MOST_CHUNKS,
    ) -> None:
        self._places = places
        self._ttl_s = ttl_s
        self._clock = clock
        self._most_chunks = most_chunks
        self._puts: dict[int, _Put] = {}
        self._latest: dict[str, int] = {}
        """The latest of the puts of each chunk that are under way."""
        self._known: dict[str, dict[str, _Known]] = {tier: {} for tier in places}
        """What routers know in each tier, by key, the one whose put was reported last at the end."""

    def expect(self, job: int, key: str, blocks: ChunkBlocks) -> None:
        """``job`` puts the chunk ``key``, which has these blocks."""
        self._puts[job] = _Put(key, blocks, self._clock())
        self._latest[key] = job

    def lack(self, absent: Iterable[tuple[str, str]]) -> Iterator[RouterEvent]:
        """Tiers, and keys of chunks that each was found not to hold."""
        for tier, key in absent:
            if key in self._latest:
                self._puts[self._latest[key]].lacking.add(tier)
            yield from self._remove(tier, key)

    def end(self, jobs: Iterable[int], unput: Collection[int]) -> Iterator[RouterEvent]:
        """All ranks have ended ``jobs``; those in ``unput``, ended or not, put not everything."""
        for job in unput & self._puts.keys():
            self._puts[job].is_whole = False
        for job in jobs:
            if job in self._puts:
                yield from self._end(job, self._puts.pop(job))

    def expire(self) -> Iterator[RouterEvent]:
        """Tell routers of what has outlived its time."""
        for tier, known in self._known.items():
            while (key := next(iter(known), None)) and self._is_over(known[key].planned_s):
                yield from self._remove(tier, key)

    def deny(
        self, keys: Iterable[str], located: Mapping[str, str], asked_s: float
    ) -> Iterator[RouterEvent]:
        """A question about ``keys`` put at ``asked_s`` was answered: the store has ``located``.

        That names the fastest tier of each key, so it tells nothing of slower ones.
        """
        for key in keys:
            for tier in self._places:
                if located.get(key) == tier:
                    break
                known = self._known[tier].get(key)
                if known is not None and known.since_s < asked_s:
                    yield from self._remove(tier, key)

    def withdraw(self) -> Iterator[RouterEvent]:
        """Tell routers that nothing stored or under way can be loaded."""
        self._puts.clear()
        self._latest.clear()
        for tier, known in self._known.items():
            for key in list(known):
                yield from self._remove(tier, key)

    def forget_own(self) -> None:
        """Routers have dropped what no pool owns; they are told again once it is put again."""
        for tier, place in self._places.items():
            if place.pool is None:
                self._known[tier].clear()

    def _end(self, job: int, put: _Put) -> Iterator[RouterEvent]:
        if self._latest.get(put.key) == job:
            del self._latest[put.key]
        for tier in self._places:
            if tier in put.lacking:
                yield from self._remove(tier, put.key)
            elif put.is_whole and not self._is_over(put.planned_s):
                yield from self._add(tier, put)

    def _add(self, tier: str, put: _Put) -> Iterator[RouterEvent]:
        known = self._known[tier]
        was = known.pop(put.key, None)
        known[put.key] = _Known(put.blocks.hashes, put.planned_s, self._clock())
        if was is None:
            yield Stored(self._places[tier], put.blocks)
        if len(known) > self._most_chunks:
            yield from self._remove(tier, next(iter(known)))

    def _remove(self, tier: str, key: str) -> Iterator[RouterEvent]:
        known = self._known[tier].pop(key, None) if tier in self._known else None
        if known is not None:
            yield Removed(self._places[tier], known.hashes)

    def _is_over(self, planned_s: float) -> bool:
        return self._ttl_s is not None and self._clock() >= planned_s + self._ttl_s
