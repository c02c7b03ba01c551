"""Knows what this process and others have saved, as far as passages of it may be reused."""

from __future__ import annotations

import secrets
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

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

    TokenIds: TypeAlias = Sequence[int] | NDArray[np.int32]

# 16 MiB of token ids.
_MOST_TOKENS = 1 << 22
# Looking into this many tokens takes one to three milliseconds.
_TOKENS_A_CALL = 1 << 15
_MOST_SPACES = 64


class _Noted(NamedTuple):
    """A sequence whose whole chunks are saved."""

    space: Space
    token_ids: TokenIds
    keys: tuple[str, ...] = ()
    """One for each chunk; none: another process has saved them, under keys that are still to be made."""


class Announcements(Protocol):
    """What :class:`kvtransfer.scheduling.exchange.exchange.Exchange` does for the scheduler."""

    def publish(self, space: Space, token_ids: TokenIds) -> None:
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
        self._noted: deque[_Noted] = deque()
        """What is saved and not in the library yet; the last is added first."""
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
            keys = keys or self._keys(space, ids)
            if keys:
                ids = _array(ids)[: len(keys) * self._chunk_tokens]
                self._library.add(Source(space, ids, self._chunk_tokens, keys))

    def _keys(self, space: Space, token_ids: TokenIds) -> tuple[str, ...]:
        """The keys under which another process has saved these tokens."""
        chain = self._chains.get(space)
        return (
            () if chain is None else tuple(chain.sibling().extend(np.asarray(token_ids).tolist()))
        )


def _array(token_ids: TokenIds) -> NDArray[np.int32]:
    if isinstance(token_ids, np.ndarray):
        return token_ids
    return np.frombuffer(little_endian(token_ids), "<i4")
