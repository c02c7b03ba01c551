"""Knows what this process and others have saved, as far as passages of it may be reused."""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kvtransfer.passages.finder import Finder
from kvtransfer.passages.space import Space
from kvtransfer.passages.unsaved import Unsaved

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from numpy.typing import NDArray

    from kvtransfer.chunks.keys import KeyChain
    from kvtransfer.passages.finder import TokenIds
    from kvtransfer.passages.run import Run
    from kvtransfer.requests.blending.found import Found
    from kvtransfer.scheduling.exchange.exchange import Exchange

# What is noted and not looked into takes as many token ids at most as the finder keeps.
_MOST_TOKENS = 1 << 22
# A call on the scheduler's thread looks into about as many.
_TOKENS_A_CALL = 1 << 15
_MOST_SPACES = 64


class _Noted(NamedTuple):
    """A sequence whose whole chunks are saved."""

    space: Space
    token_ids: TokenIds
    keys: tuple[str, ...] = ()
    """One for each chunk; none: another process has saved them, under keys that are still to be made."""


class KnownPassages:
    """For the scheduler's thread.

    Args:
        chunk_tokens: tokens of a chunk.
        exchange: with other processes; None: only this one's are known.
    """

    def __init__(self, chunk_tokens: int, exchange: Exchange | None) -> None:
        self._chunk_tokens = chunk_tokens
        self._exchange = exchange
        self._finder = Finder(chunk_tokens)
        self._unsaved = Unsaved()
        self._space_of = lru_cache(_MOST_SPACES)(Space.of)  # a namespace is long, and few are used
        self._chains: dict[Space, KeyChain] = {}
        """A chain of each space of which requests were here, the latest last."""
        self._noted: deque[_Noted] = deque()
        """What is saved and not looked into yet; the last comes first."""
        self._noted_tokens = 0

    def note(self, chain: KeyChain, token_ids: Sequence[int], keys: Sequence[str]) -> None:
        """Note what is saved here: one key for each whole chunk of ``token_ids``.

        That is cheap. It is looked into once a request seeks passages.
        """
        space = self._space(chain)
        ids = token_ids[: len(keys) * self._chunk_tokens]
        self._note(_Noted(space, ids, tuple(keys)))
        if self._exchange is not None:
            self._exchange.publish(space, ids)

    def are_awaited(self, chain: KeyChain) -> bool:
        """Whether more will be known soon; each call looks into some of what was noted."""
        awaited = False
        if self._exchange is not None:
            space = self._space(chain)
            self._exchange.follow(space)
            for learned in self._exchange.take():
                self._note(_Noted(*learned))
            awaited = self._exchange.is_awaited(space)
        self._look_into_some()
        return awaited or bool(self._noted)

    def shared(
        self,
        chain: KeyChain,
        token_ids: Sequence[int],
        start: int,
        segments: Sequence[Sequence[int]] | None,
        missing: Set[str],
    ) -> tuple[Run, ...]:
        """The passages of a prompt behind ``start`` tokens that are known, but for ``missing`` chunks."""
        return self._finder.runs(self._space(chain), token_ids, start, segments, missing)

    def note_use(self, chain: KeyChain, token_ids: Sequence[int], found: Found) -> None:
        """A prompt is blended: keep what its passages come from for longer, and count the new ones."""
        self._finder.note_use(found.blend)
        self._unsaved.note(self._space(chain), self._ids(token_ids), found.new)

    def pay_to_save(self, chain: KeyChain, token_ids: Sequence[int], found: Found) -> bool:
        """Whether to compute the prompt whole instead of blending it, so that all of it is saved.

        It is once computing its new passages, in this and in earlier requests, costs as much as
        computing what would be copied. A passage that doesn't return costs nothing, and one that
        does costs at most twice what it would if that had been known from the first.
        """
        computed_tokens = self._unsaved.tokens(self._space(chain), self._ids(token_ids), found.new)
        return computed_tokens >= found.blend.copied_tokens

    def note_saving(self, chain: KeyChain, token_ids: Sequence[int], found: Found) -> None:
        """The prompt is computed whole and saved instead."""
        self._unsaved.forget(self._space(chain), self._ids(token_ids), found.new)

    def _ids(self, token_ids: Sequence[int]) -> NDArray[np.int32]:
        """The tokens of whole chunks: the others are not saved in any case."""
        return np.asarray(
            token_ids[: len(token_ids) // self._chunk_tokens * self._chunk_tokens], np.int32
        )

    def _space(self, chain: KeyChain) -> Space:
        space = self._space_of(chain.namespace)
        if space not in self._chains:
            self._chains[space] = chain
            if len(self._chains) > _MOST_SPACES:
                del self._chains[next(iter(self._chains))]
        return space

    def _note(self, noted: _Noted) -> None:
        self._noted.append(noted)
        self._noted_tokens += len(noted.token_ids)
        while self._noted_tokens > _MOST_TOKENS:
            self._noted_tokens -= len(self._noted.popleft().token_ids)

    def _look_into_some(self) -> None:
        left = _TOKENS_A_CALL
        while self._noted and left > 0:
            space, ids, keys = self._noted.pop()
            left -= len(ids)
            self._noted_tokens -= len(ids)
            self._finder.learn(space, ids, keys or self._keys(space, ids))

    def _keys(self, space: Space, token_ids: TokenIds) -> tuple[str, ...]:
        """The keys under which another process has saved these tokens."""
        chain = self._chains.get(space)
        return (
            () if chain is None else tuple(chain.sibling().extend(np.asarray(token_ids).tolist()))
        )
