"""Defines router events: the engine's blocks of a chunk came to a place, or left it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.requests.request_state import RequestState

BlockHash: TypeAlias = "int | bytes"
"""A block's name in the engine's own events."""


class Place(NamedTuple):
    """Where routers are told that blocks are, in vLLM's words."""

    medium: str
    """``CPU`` or ``STORAGE``; routers take any other word for device memory."""
    locality: str | None = None
    """``LOCAL`` or ``REMOTE``, as seen from the engine."""
    pool: str | None = None
    """The name of the store that has them, where that is remote."""


@dataclass(frozen=True, slots=True)
class ChunkBlocks:
    """The blocks of one chunk, as the engine's own events describe them."""

    hashes: tuple[BlockHash, ...]
    """In token order."""
    parent: BlockHash | None
    """The hash of the block before the first; None: the first begins the sequence."""
    token_ids: Sequence[int]
    """All tokens of the chunk."""
    adapter_id: int | None = None
    adapter_name: str | None = None
    """The LoRA adapter that computed them; None: the model alone."""


class Stored(NamedTuple):
    """The blocks can be loaded from ``place``."""

    place: Place
    blocks: ChunkBlocks


class Removed(NamedTuple):
    """Blocks that were stored at ``place`` no longer can be loaded from there."""

    place: Place
    hashes: tuple[BlockHash, ...]


RouterEvent: TypeAlias = "Stored | Removed"


class BlockNames(Protocol):
    """What only an engine's connector can tell: how the engine names its blocks."""

    def blocks_of(self, state: RequestState, chunk: int) -> ChunkBlocks | None:
        """Describe chunk number ``chunk``; None: a router could credit it to a wrong request."""
