"""Names what an executor moves chunks between, and limits how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import group_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.device import Device
    from kvtransfer.stores.interface import ChunkStore
    from kvtransfer.worker.host_pool import HostPool
    from kvtransfer.worker.wakeable import WakeableCopier


@dataclass(frozen=True)
class Tiers:
    """Names the tiers of one rank; the executor owns the copier and the store and closes them."""

    copier: WakeableCopier
    pool: HostPool
    device: Device
    store: ChunkStore | None
    """A guarded store, which raises nothing; None if chunks stay in host memory."""
    names: Callable[[str], Sequence[str]]
    """Turns a piece's key into the base keys of this rank's shards in the store, in order."""
    block_bytes: Sequence[int]
    """Bytes in one of the manager's blocks of each cache group, summed over the group's layers; 0:
    it has no layers on this rank."""
    puts: bool = True
    """Whether this rank puts its shards into the store; of ranks with the same shard, one does."""

    def entries(self, key: str, slot: int) -> Iterator[tuple[str, memoryview]]:
        """Yield the base key of each shard of the piece ``key``, and its bytes in ``slot``."""
        return zip(self.names(key), self.pool.shards(slot, group_of(key)), strict=True)


@dataclass(frozen=True)
class Limits:
    """Limits what an executor does at once."""

    fetches: int
    """Chunks that are fetched at the same time."""
    waiting_puts: int
    """Chunks that may wait to be put; one more drops the oldest."""
    start_within_s: float
    """Seconds after its plan by which a fetch must begin, where its load allows no fewer."""
