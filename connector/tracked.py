"""What is known of one request, from its arrival until nothing of it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future

    from vllm.v1.request import Request

    from kvtransfer.index import Index
    from kvtransfer.keys import KeyChain

    from .pace import Journey

_LONG_CHUNKS = 64


@dataclass
class Tracked:
    """Written by the scheduler's side alone."""

    request: Request
    chain: KeyChain | None
    """None: it is not cached."""
    hashing: Future[list[str]] | None = None
    """Whatever hashes ``chain`` beside our thread."""
    block_ids: list[int] = field(default_factory=list)
    local_tokens: int = 0
    """Found in vLLM's own cache when we were last asked."""
    whole_chunks: int = 0
    """Chunks from the first on that are computed, and may be saved."""
    saved_chunks: int = 0
    """Those of them that have been dealt with."""
    loading: set[int] = field(default_factory=set)
    journey: Journey | None = None
    """Its loads, while they are timed."""
    refused_tokens: int = 0
    """Cached, but computed sooner than loaded."""
    host_tokens: int = 0
    """Of those to load, so many host memory held."""
    loads: bool = True
    """Until one has failed: what failed once is recomputed, not tried for ever."""
    is_finished: bool = False
    is_noted: bool = False

    def is_hashed(self) -> bool:
        """Whether ``keys`` may be asked for: nobody else is at the chain any more."""
        if self.hashing is not None and self.hashing.done():
            self.hashing.result()
            self.hashing = None
        return self.hashing is None

    def note(self, index: Index) -> bool:
        """Tell ``index`` of the request, once; it is hashed.

        Returns:
            Whether time is left for more; a long request takes what one call may take.
        """
        if self.is_noted:
            return True
        self.is_noted = True
        keys = self.keys
        index.note_request(keys)
        return len(keys) < _LONG_CHUNKS

    @property
    def keys(self) -> list[str]:
        """Of all its whole chunks, generated tokens included."""
        return [] if self.chain is None else self.chain.extend(self.request.all_token_ids)
