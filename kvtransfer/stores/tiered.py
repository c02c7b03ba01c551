"""Several stores as one, the fastest first: what a slow one served, the faster ones get too."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.stores.promoter import Promoter
from kvtransfer.stores.record import as_chunk_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.interface import ChunkStore


@dataclass(frozen=True)
class Tier:
    """One of the stores."""

    name: str
    """``{name}_fetched_tokens`` counts what it served."""
    store: ChunkStore
    """Guarded: it must not raise."""


class TieredStore:
    """``tiers``, which it owns, fastest first."""

    def __init__(self, tiers: Sequence[Tier], chunk: ChunkFormat, metrics: Metrics) -> None:
        self._tiers = tiers
        self._chunk = chunk
        self._metrics = metrics
        self._promoter: Promoter | None = None
        """Made with the first promotion: a scheduler's side never has one."""
        self._lock = Lock()

    @property
    def parallelism(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`; what the farthest tier wants."""
        return max(tier.store.parallelism for tier in self._tiers)

    def open_breakers(self) -> int:
        """Count the breakers that are open in all tiers."""
        return sum(tier.store.open_breakers() for tier in self._tiers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tiers, fastest first."""
        return tuple(tier.name for tier in self._tiers)

    def locate(self, keys: Sequence[str]) -> list[str | None]:
        """For each key, in order, the name of the fastest tier that has it; None: no tier has."""
        found: dict[str, str] = {}
        for tier in self._tiers:
            missing = [key for key in dict.fromkeys(keys) if key not in found]
            if missing:
                held = zip(missing, tier.store.contains(missing), strict=True)
                found.update((key, tier.name) for key, is_held in held if is_held)
        return [found.get(key) for key in keys]

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; whether any tier has it."""
        return [tier is not None for tier in self.locate(keys)]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; from the fastest tier that has it."""
        for depth, tier in enumerate(self._tiers):
            if tier.store.get_into(key, payload, tenant):
                self._metrics.add(f"{tier.name}_fetched_tokens", self._chunk.tokens)
                self._promote(key, payload, tenant, depth)
                return True
        return False

    def put(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; into each tier, True when any took it."""
        taken = [tier.store.put(key, payload, tenant) for tier in self._tiers]
        return any(taken)

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; promotions that wait are dropped."""
        if self._promoter is not None:
            self._promoter.close()
        for tier in self._tiers:
            tier.store.close()

    def _promote(self, key: str, payload: memoryview, tenant: str, depth: int) -> None:
        """Into the ``depth`` tiers that are faster than the one which served."""
        if depth > 0:
            faster = [tier.store for tier in self._tiers[:depth]]
            self._begun().offer(key, as_chunk_bytes(payload, self._chunk), tenant, faster)

    def _begun(self) -> Promoter:
        with self._lock:
            if self._promoter is None:
                self._promoter = Promoter(self._chunk.nbytes, self._metrics)
            return self._promoter
