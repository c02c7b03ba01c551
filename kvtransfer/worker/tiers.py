"""Names what an executor moves chunks between, and limits how many at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    name: Callable[[str], str]
    """Turns a chunk's key into the base key of this rank's shard in the store."""
    block_bytes: Sequence[int]
    """Bytes in one of the manager's blocks of each cache group, summed over the group's layers; 0:
    it has no layers on this rank."""
    puts: bool = True
    """Whether this rank puts its shard into the store; of ranks with the same shard, one does."""


@dataclass(frozen=True)
class Limits:
    """Limits what an executor does at once."""

    fetches: int
    """Chunks that are fetched at the same time."""
    waiting_puts: int
    """Chunks that may wait to be put; one more drops the oldest."""
    start_within_s: float
    """Seconds after its plan by which a fetch must begin, where its load allows no fewer."""
