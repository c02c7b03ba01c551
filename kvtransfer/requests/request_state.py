"""What the scheduler knows of one request, from its arrival until nothing of it is under way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kvtransfer.requests.control import Control

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.chunks.keys import KeyChain
    from kvtransfer.requests.keys.adapter import Adapter
    from kvtransfer.requests.step import BlockIds, EngineRequest
    from kvtransfer.requests.tracing.load_record import LoadRecord
    from kvtransfer.scheduling.index import Index

# Telling the index of a longer request takes the time that one call may take.
_LONG_CHUNKS = 64


@dataclass
class RequestState:
    """For the scheduler's thread, which alone writes it."""

    request: EngineRequest
    control: Control = field(default_factory=Control)
    """How its caller wants it to be cached."""
    chain: KeyChain | None = None
    """None: the request is not cached, or has no keys yet."""
    adapter: Adapter | None = None
    """The LoRA adapter that the request names."""
    is_named: bool = False
    """Whether all is known that its keys cover besides its tokens."""
    weights: tuple[str, ...] | None = None
    """The weights that its keys were made for, by rank."""
    hashing: Future[list[str]] | None = None
    """Hashes ``chain`` on another thread, which owns the chain until then."""
    block_ids: tuple[list[int], ...] = ()
    """Its blocks of each cache group in token order, as far as it was given them. Where a group
    doesn't read all tokens, the engine has taken earlier ones back."""
    local_tokens: int = 0
    """Tokens that the engine's own cache held when it last asked for a match."""
    computed_tokens: int = 0
    """Tokens computed with the latest step that was looked at."""
    refused_tokens: int = 0
    """Cached tokens that are computed sooner than loaded, until its admission counts them."""
    record: LoadRecord | None = None
    """What its trace will show of its load; None: it is not traced."""
    is_finished: bool = False
    is_noted: bool = False
    """Whether the index was told of the request."""
    first_tokens: int = field(init=False)
    """Prompt tokens that the request had when it arrived; more input may join it later."""

    def __post_init__(self) -> None:
        self.first_tokens = self.request.num_prompt_tokens

    @property
    def request_id(self) -> str:
        """The engine's name for the request."""
        return self.request.request_id

    def replace_blocks(self, block_ids: BlockIds) -> None:
        """The request has ``block_ids`` in place of those before."""
        self.block_ids = tuple(map(list, block_ids))

    def add_blocks(self, block_ids: BlockIds) -> None:
        """The request has ``block_ids`` behind those before."""
        if not self.block_ids:
            self.replace_blocks(block_ids)
            return
        for mine, added in zip(self.block_ids, block_ids, strict=True):
            mine += added

    def name(self, chain: KeyChain | None, weights: tuple[str, ...]) -> None:
        """Give the request keys; ``weights`` compute all of it."""
        self.chain, self.weights, self.hashing = chain, weights, None
        self.is_named, self.is_noted = True, False

    def is_hashed(self) -> bool:
        """Whether ``keys`` may be asked for: no other thread works on the chain."""
        if not self.is_named:
            return False
        if self.hashing is not None and self.hashing.done():
            self.hashing.result()
            self.hashing = None
        return self.hashing is None

    def note(self, index: Index, groups: Groups) -> bool:
        """Tell ``index`` of the request, once; it is hashed.

        Returns:
            Whether time is left for more in this call.
        """
        if self.is_noted:
            return True
        self.is_noted = True
        keys = self.keys
        for pieces in groups.left_by(keys, len(self.request.all_token_ids)):
            index.note_request(pieces)
        return len(keys) < _LONG_CHUNKS

    @property
    def known_ids(self) -> Sequence[int]:
        """The tokens that keys may cover.

        When more input joins a session, the end of its answer that isn't computed is taken back.
        """
        ids = self.request.all_token_ids
        if not self.request.resumable:
            return ids
        return ids[: max(self.first_tokens, self.computed_tokens)]

    @property
    def keys(self) -> list[str]:
        """Keys of all its whole chunks, generated tokens included."""
        return [] if self.chain is None else self.chain.extend(self.known_ids)
