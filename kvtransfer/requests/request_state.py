"""What is known of one request, from its arrival until nothing of it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from vllm.v1.request import Request

    from kvtransfer.chunks.keys import KeyChain
    from kvtransfer.connector.vllm.keys.adapters import Adapter
    from kvtransfer.requests.timing import Journey
    from kvtransfer.scheduling.index import Index

_LONG_CHUNKS = 64


@dataclass
class Tracked:
    """Written by the scheduler's side alone."""

    request: Request
    chain: KeyChain | None = None
    """None: it is not cached, or not named yet."""
    adapter: Adapter | None = None
    """The LoRA adapter that it names."""
    is_named: bool = False
    """Whether all is known that its keys cover beside its tokens."""
    weights: tuple[str, ...] | None = None
    """Those that its keys were made for, by rank."""
    hashing: Future[list[str]] | None = None
    """Whatever hashes ``chain`` beside our thread."""
    block_ids: list[int] = field(default_factory=list)
    local_tokens: int = 0
    """Found in vLLM's own cache when we were last asked."""
    computed_tokens: int = 0
    """With the latest step that was looked at."""
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
    first_tokens: int = field(init=False)
    """Of the prompt, as it came."""

    def __post_init__(self) -> None:
        self.first_tokens = self.request.num_prompt_tokens

    def name(self, chain: KeyChain | None, weights: tuple[str, ...]) -> None:
        """It is computed anew by ``weights``: no chunk of it has been dealt with."""
        self.chain, self.weights, self.hashing = chain, weights, None
        self.whole_chunks = self.saved_chunks = 0
        self.is_named, self.is_noted = True, False

    def is_hashed(self) -> bool:
        """Whether ``keys`` may be asked for: nobody else is at the chain any more."""
        if not self.is_named:
            return False
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
    def known_ids(self) -> Sequence[int]:
        """The tokens that keys may cover.

        When more input joins a session, the end of its answer that isn't computed is taken back.
        """
        ids: Sequence[int] = self.request.all_token_ids
        if not self.request.resumable:
            return ids
        return ids[: max(self.first_tokens, self.computed_tokens)]

    @property
    def keys(self) -> list[str]:
        """Of all its whole chunks, generated tokens included."""
        return [] if self.chain is None else self.chain.extend(self.known_ids)
