"""Makes several stores one: asks the fastest first, and promotes what a slower one served."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import chunk_hash_of
from kvtransfer.stores.promoter import Promoter
from kvtransfer.stores.record import as_chunk_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.interface import ChunkStore


@dataclass(frozen=True)
class Tier:
    """One of the stores, and its name."""

    name: str
    """The metric ``{name}_fetched_tokens`` counts what it served."""
    store: ChunkStore
    """A guarded store, which must not raise."""


def unheard(tier: str, key: str) -> None:
    """Tell no caller what a tier lacks."""
    del tier, key


class TieredStore:
    """A :class:`ChunkStore` of ``tiers``, fastest first, which it owns and closes.

    ``lack`` is told the tier that did not take what was put, and the chunk or piece, without tenant.
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        formats: Formats,
        metrics: Metrics,
        lack: Callable[[str, str], None] = unheard,
    ) -> None:
        self._tiers = tiers
        self._lack = lack
        self._formats = formats
        self._metrics = metrics
        self._promoter: Promoter | None = None
        """Made for the first promotion; on the scheduler's side there is none."""
        self._lock = Lock()

    @property
    def parallelism(self) -> int:
        """See :class:`kvtransfer.stores.interface.Store`; the highest of all tiers."""
        return max(tier.store.parallelism for tier in self._tiers)

    def open_breakers(self) -> int:
        """Count the breakers that are open in all tiers."""
        return sum(tier.store.open_breakers() for tier in self._tiers)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tiers, fastest first."""
        return tuple(tier.name for tier in self._tiers)

    def locate(self, keys: Sequence[str]) -> list[str | None]:
        """Return for each key, in order, the name of the fastest tier that holds it, or None."""
        found: dict[str, str] = {}
        for tier in self._tiers:
            missing = [key for key in dict.fromkeys(keys) if key not in found]
            if missing:
                held = zip(missing, tier.store.contains(missing), strict=True)
                found.update((key, tier.name) for key, is_held in held if is_held)
        return [found.get(key) for key in keys]

    def contains(self, keys: Sequence[str]) -> list[bool]:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; whether any tier holds it."""
        return [tier is not None for tier in self.locate(keys)]

    def get_into(self, key: str, payload: memoryview, tenant: str = "") -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; from the fastest tier that holds it."""
        for depth, tier in enumerate(self._tiers):
            if tier.store.get_into(key, payload, tenant):
                self._metrics.add(f"{tier.name}_fetched_tokens", self._formats.counted_tokens(key))
                self._promote(key, payload, tenant, depth)
                return True
        return False

    def put(
        self, key: str, payload: memoryview, tenant: str = "", ttl_s: int | None = None
    ) -> bool:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; into all tiers; True if any took it."""
        taken = [tier.store.put(key, payload, tenant, ttl_s) for tier in self._tiers]
        for tier, is_taken in zip(self._tiers, taken, strict=True):
            if not is_taken:
                self._lack(tier.name, chunk_hash_of(key))
        return any(taken)

    def expect_puts(self, keys: Sequence[str]) -> None:
        """See :class:`kvtransfer.stores.interface.Store`."""
        for tier in self._tiers:
            tier.store.expect_puts(keys)

    def close(self) -> None:
        """See :class:`kvtransfer.stores.interface.ChunkStore`; drops promotions that wait."""
        if self._promoter is not None:
            self._promoter.close()
        for tier in self._tiers:
            tier.store.close()

    def _promote(self, key: str, payload: memoryview, tenant: str, depth: int) -> None:
        """Put the chunk into the first ``depth`` tiers, which are faster than the one that served."""
        if depth > 0:
            faster = [tier.store for tier in self._tiers[:depth]]
            self._begun().offer(key, as_chunk_bytes(payload, self._formats.of(key)), tenant, faster)

    def _begun(self) -> Promoter:
        with self._lock:
            if self._promoter is None:
                self._promoter = Promoter(self._formats.slot_bytes, self._metrics)
            return self._promoter
