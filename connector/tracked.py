"""What is known of one request, from its arrival until nothing of it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.request import Request

    from kvtransfer.keys import KeyChain

    from .pace import Journey


@dataclass
class Tracked:
    """Written by the scheduler's side alone."""

    request: Request
    chain: KeyChain | None
    """None: it is not cached."""
    block_ids: list[int] = field(default_factory=list)
    local_tokens: int = 0
    """Found in vLLM's own cache when we were last asked."""
    saved_chunks: int = 0
    """Chunks from the first on that have been dealt with."""
    loading: set[int] = field(default_factory=set)
    copying: set[int] = field(default_factory=set)
    journey: Journey | None = None
    """Its loads, while they are under way."""
    refused_tokens: int = 0
    """Cached, but computed sooner than loaded."""
    host_tokens: int = 0
    """Of those to load, so many host memory held."""
    loads: bool = True
    """Until one has failed: what failed once is recomputed, not tried for ever."""
    is_finished: bool = False
    holds_blocks: bool = False
    """It is finished, and vLLM waits until its blocks have been copied out."""

    @property
    def keys(self) -> list[str]:
        """Of all its whole chunks, generated tokens included."""
        return [] if self.chain is None else self.chain.extend(self.request.all_token_ids)
