"""Finds passages of prompts in the sequences that it was told of, by space."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from kvtransfer.chunks.keys import little_endian
from kvtransfer.passages.library import Library
from kvtransfer.passages.match import match
from kvtransfer.passages.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from numpy.typing import NDArray

    from kvtransfer.passages.gaps import Blend
    from kvtransfer.passages.run import Run
    from kvtransfer.passages.space import Space

    TokenIds: TypeAlias = Sequence[int] | NDArray[np.int32]

# 16 MiB of token ids.
_MOST_TOKENS = 1 << 22


class Finder:
    """Knows chunks by their space and token ids; all calls must come from one thread.

    Args:
        chunk_tokens: tokens of a chunk.
    """

    def __init__(self, chunk_tokens: int) -> None:
        self._chunk_tokens = chunk_tokens
        # A sender of prompts must not be able to make windows with equal hashes.
        self._library = Library(max_tokens=_MOST_TOKENS, seed=secrets.randbits(62))

    def learn(self, space: Space, token_ids: TokenIds, keys: Sequence[str]) -> None:
        """Note a sequence whose chunks are saved under ``keys``, one for each whole chunk."""
        if keys:
            ids = _array(token_ids[: len(keys) * self._chunk_tokens])
            self._library.add(Source(space, ids, self._chunk_tokens, tuple(keys)))

    def runs(
        self,
        space: Space,
        token_ids: Sequence[int],
        skip_tokens: int,
        segments: Sequence[Sequence[int]] | None = None,
        missing: Set[str] = frozenset(),
    ) -> tuple[Run, ...]:
        """The passages of a prompt behind ``skip_tokens``; see :func:`match`.

        Raises:
            ValueError: a token id is not in ``[0, 2**31)``, or see there.
        """
        ids = _array(token_ids)
        return match(
            self._library,
            ids,
            space,
            exact_tokens=skip_tokens,
            segments=segments,
            missing=missing,
        )

    def note_use(self, found: Blend) -> None:
        """Note that the sources of ``found`` are used, so that others are dropped first."""
        for copy in found.copies:
            self._library.use(copy.source)


def _array(token_ids: TokenIds) -> NDArray[np.int32]:
    if isinstance(token_ids, np.ndarray):
        return token_ids
    return np.frombuffer(little_endian(token_ids), "<i4")
