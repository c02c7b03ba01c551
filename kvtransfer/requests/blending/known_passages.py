"""Knows what this process and others have saved, as far as passages of it may be reused."""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, Protocol

import numpy as np

from kvtransfer.chunks.keys import KeyChain, little_endian
from kvtransfer.passages.library import Library
from kvtransfer.passages.match import match
from kvtransfer.passages.source import Source
from kvtransfer.passages.space import Space

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from kvtransfer.passages.run import Run

# 16 MiB of token ids.
_MOST_TOKENS = 1 << 22
# What others have saved is hashed by this many tokens a call, which takes about a millisecond.
_TOKENS_A_CALL = 1 << 15
_MOST_SPACES = 64


class Announcements(Protocol):
    """What :class:`kvtransfer.scheduling.exchange.exchange.Exchange` does for the scheduler."""

    def publish(self, space: Space, token_ids: NDArray[np.int32]) -> None:
        """Announce what is saved here."""

    def follow(self, space: Space) -> None:
        """Read what others have saved, now and from now on."""

    def is_awaited(self, space: Space) -> bool:
        """Whether the first answer about a space that is followed is still to come."""

    def take(self) -> list[tuple[Space, NDArray[np.int32]]]:
        """What others have announced since the last call."""


class KnownPassages:
    """For the scheduler's thread.

    Args:
        chunk_tokens: tokens of a chunk.
        exchange: with other processes; None: only this one's are known.
    """

    def __init__(self, chunk_tokens: int, exchange: Announcements | None) -> None:
        self._chunk_tokens = chunk_tokens
        self._exchange = exchange
        # A sender of prompts must not be able to make windows with equal hashes.
        self._library = Library(max_tokens=_MOST_TOKENS, seed=secrets.randbits(62))
        self._chains: dict[Space, KeyChain] = {}
        """A chain of each space of which requests were here, the latest last."""
        self._learned: deque[tuple[Space, NDArray[np.int32]]] = deque()
        """What others have saved and is not in the library yet."""

    def add(self, chain: KeyChain, token_ids: Sequence[int], keys: Sequence[str]) -> None:
        """Note what is saved here: one key for each whole chunk of ``token_ids``."""
        ids = _array(token_ids[: len(keys) * self._chunk_tokens])
        self._library.add(Source(self._space(chain), ids, self._chunk_tokens, tuple(keys)))
        if self._exchange is not None:
            self._exchange.publish(self._space(chain), ids)

    def is_awaited(self, chain: KeyChain) -> bool:
        """Whether it is not known yet what others have saved; asks for it."""
        if self._exchange is None:
            return False
        space = self._space(chain)
        self._exchange.follow(space)
        self._learned += self._exchange.take()
        self._learn()
        return bool(self._learned) or self._exchange.is_awaited(space)

    def shared(
        self,
        chain: KeyChain,
        token_ids: Sequence[int],
        start: int,
        segments: Sequence[Sequence[int]] | None,
    ) -> tuple[Run, ...]:
        """The passages of a prompt behind ``start`` tokens that are known; see :func:`match`."""
        ids, space = _array(token_ids), self._space(chain)
        return match(self._library, ids, space, exact_tokens=start, segments=segments)

    def note_use(self, runs: Iterable[Run]) -> None:
        """Passages are reused: keep those that they come from for longer."""
        for run in runs:
            self._library.use(run.source)

    def _space(self, chain: KeyChain) -> Space:
        space = Space.of(chain.namespace)
        if space not in self._chains:
            self._chains[space] = chain
            if len(self._chains) > _MOST_SPACES:
                del self._chains[next(iter(self._chains))]
        return space

    def _learn(self) -> None:
        """Add some of what others have saved to the library."""
        left = _TOKENS_A_CALL
        while self._learned and left > 0:
            space, ids = self._learned.popleft()
            left -= len(ids)
            if (chain := self._chains.get(space)) is not None:
                keys = chain.sibling().extend(ids.tolist())
                if keys:
                    ids = ids[: len(keys) * self._chunk_tokens]
                    self._library.add(Source(space, ids, self._chunk_tokens, tuple(keys)))


def _array(token_ids: Sequence[int]) -> NDArray[np.int32]:
    return np.frombuffer(little_endian(token_ids), "<i4")
