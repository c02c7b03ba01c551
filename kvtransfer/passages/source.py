"""Describes a sequence whose KV was saved, and from which other prompts may take passages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Set

    from numpy.typing import NDArray

    from kvtransfer.passages.space import Space


@dataclass(frozen=True, eq=False)
class Source:
    """Whole chunks of a sequence, in order, and where they lay when they were computed.

    Two sources are equal only if they are the same object, as the library tells them apart.

    Raises:
        ValueError: the token ids are not those of exactly one chunk a key.
    """

    space: Space
    """Whose it is."""
    token_ids: NDArray[np.int32]
    """One dimension, read-only."""
    chunk_tokens: int
    """Tokens in a chunk."""
    keys: tuple[str, ...]
    """The key of each chunk."""
    position: int = 0
    """The position at which the first token was computed."""

    def __post_init__(self) -> None:
        ids, keys = self.token_ids, len(self.keys)
        if ids.dtype != np.int32 or ids.shape != (keys * self.chunk_tokens,) or not keys:
            raise ValueError(
                f"token ids of dtype {ids.dtype} and shape {ids.shape} for {keys} chunks "
                f"of {self.chunk_tokens} tokens; pass int32 ids of at least one whole chunk"
            )
        if self.position < 0:
            raise ValueError(f"position is {self.position}; the first token of a request is at 0")
        read_only = ids.view()
        read_only.flags.writeable = False
        object.__setattr__(self, "token_ids", read_only)

    def part(self, first_chunk: int, end_chunk: int) -> Source:
        """Chunks ``[first_chunk, end_chunk)``, which share the memory of the token ids."""
        first, end = first_chunk * self.chunk_tokens, end_chunk * self.chunk_tokens
        return Source(
            self.space,
            self.token_ids[first:end],
            self.chunk_tokens,
            self.keys[first_chunk:end_chunk],
            self.position + first,
        )

    def stretch(self, token: int, missing: Set[str]) -> range:
        """The tokens around ``token`` that lie in chunks which are not ``missing``."""
        if not missing:
            return range(len(self.token_ids))
        chunk = first = end = token // self.chunk_tokens
        if self.keys[chunk] in missing:
            return range(token, token)
        while first > 0 and self.keys[first - 1] not in missing:
            first -= 1
        while end + 1 < len(self.keys) and self.keys[end + 1] not in missing:
            end += 1
        return range(first * self.chunk_tokens, (end + 1) * self.chunk_tokens)

    def covers(self, other: Source) -> bool:
        """Whether this source has all chunks of ``other``, in the same order."""
        last = other.keys[-1]
        if self.space != other.space or last not in self.keys:
            return False
        end = self.keys.index(last) + 1
        return self.keys[max(0, end - len(other.keys)) : end] == other.keys
