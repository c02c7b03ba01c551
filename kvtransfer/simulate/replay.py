"""Replays requests, one after another, through the index and eviction policy of the real cache."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.load_order import LoadOrder
from kvtransfer.scheduling.index import Index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.groups import Groups

HOST, DISK, REMOTE = TIERS = ("host", "disk", "remote")


@dataclass(frozen=True)
class Sizes:
    """The size of each tier in pieces of chunks; 0: there is no such tier."""

    host: int
    disk: int = 0
    remote: int = 0

    @property
    def total(self) -> int:
        """The size of all tiers together."""
        return self.host + self.disk + self.remote

    def at_most(self, chunks: int) -> Sizes:
        """Return these sizes, none of them above ``chunks``."""
        return Sizes(*(min(size, chunks) for size in (self.host, self.disk, self.remote)))


class Served(NamedTuple):
    """What a request found cached."""

    hits: Counter[str]
    """The chunks that it need not compute, by the slowest tier that a piece of theirs comes from."""
    pieces: Counter[str]
    """The pieces that are loaded for them, by tier."""


class Hierarchy:
    """Host memory that evicts by ``policy``, with a disk and a remote store that evict by LRU.

    A hit behind host memory is copied into it. A computed piece is written to every tier
    immediately. With ``admit_chance`` it is written to disk and remote only when host memory evicts
    it, and only if its reuse probability, as the policy estimates it, is at least that.

    Args:
        sizes: of the tiers.
        policy: the name of host memory's.
        groups: the model's cache groups, of which each has a piece of a chunk.
        admit_chance: see above; None: everything is written.
        remote: the remote store, where others use it too; None: one of its own.
    """

    def __init__(
        self,
        sizes: Sizes,
        policy: str,
        groups: Groups,
        admit_chance: float | None = None,
        remote: Index | None = None,
    ) -> None:
        self._groups = groups
        self._admit_chance = admit_chance
        self._in_slot: dict[int, str] = {}
        self._host = Index(sizes.host, policy)
        behind = {DISK: sizes.disk, REMOTE: sizes.remote}
        self._behind = {tier: Index(slots, "lru") for tier, slots in behind.items() if slots}
        if remote is not None:
            self._behind[REMOTE] = remote
        self.written: Counter[str] = Counter()
        """Pieces by tier."""

    def serve(self, keys: Sequence[str], tokens: int = sys.maxsize) -> Served:
        """Serve a request for the chunks ``keys`` of a prompt of ``tokens``."""
        chains = list(self._groups.left_by(keys, tokens))
        for chain in chains:
            self._host.note_request(chain)
        order = LoadOrder(self._groups, keys, self._hit_tokens(keys, tokens), 0)
        tiers = [self._tier_of(key) for key in order.keys]
        for tier, key in zip(tiers, order.keys, strict=True):
            if tier != HOST:
                _use(self._behind[tier], key)
        self._bring(order.keys, chains)
        if self._admit_chance is None:
            loaded = set(order.keys)
            self._write([key for chain in chains for key in chain if key not in loaded])
        return Served(self._hits(order, tiers), Counter(tiers))

    def _hit_tokens(self, keys: Sequence[str], tokens: int) -> int:
        """How far the longest cached prefix reaches."""
        usable = self._groups.usable(keys, tokens)
        most_tokens = len(usable) * self._groups.chunk_tokens
        return self._groups.longest_hit(
            usable, lambda key: bool(self._tier_of(key)), most_tokens, 0
        )

    def _hits(self, order: LoadOrder, tiers: Sequence[str]) -> Counter[str]:
        slowest = dict.fromkeys(order.all_chunks, HOST)
        for chunk, tier in zip(order.chunks(), tiers, strict=True):
            slowest[chunk] = max(slowest[chunk], tier, key=TIERS.index)
        return Counter(slowest.values())

    def _tier_of(self, key: str) -> str:
        if key in self._host:
            return HOST
        return next((tier for tier, index in self._behind.items() if key in index), "")

    def _bring(self, loaded: Sequence[str], chains: Sequence[Sequence[str]]) -> None:
        """Bring ``chains``, of which ``loaded`` are cached, into host memory while there is room."""
        host = self._host
        taken = [host.pin(key) for key in loaded if key in host]
        for chain in chains:
            for before, key in zip([None, *chain], chain, strict=False):
                if key in host:
                    continue
                slot = host.claim(key, before)
                if slot is None:
                    break
                self.written[HOST] += 1
                taken.append(slot)
                self._replace(slot, key)
        for slot in taken:
            host.unpin(slot)

    def _replace(self, slot: int, key: str) -> None:
        gone = self._in_slot.get(slot)
        self._in_slot[slot] = key
        if gone is None or self._admit_chance is None:
            return
        if self._host.chance(gone) >= self._admit_chance:
            self._write([gone])

    def _write(self, keys: Sequence[str]) -> None:
        for tier, index in self._behind.items():
            for key in keys:
                self.written[tier] += _put(index, key)


def fleet(
    sizes: Sizes, policy: str, groups: Groups, admit_chance: float | None, instances: int
) -> list[Hierarchy]:
    """As many hierarchies as ``instances``, with one remote store; arguments as of ``Hierarchy``."""
    remote = Index(sizes.remote, "lru") if sizes.remote else None
    return [Hierarchy(sizes, policy, groups, admit_chance, remote) for _ in range(instances)]


def _use(index: Index, key: str) -> None:
    index.unpin(index.pin(key))


def _put(index: Index, key: str) -> bool:
    slot = None if key in index else index.claim(key)
    if slot is None:
        return False
    index.unpin(slot)
    return True
