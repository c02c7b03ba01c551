"""Says how far back the tokens behind a prefix read it, for each kind of cache group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Reach(Protocol):
    """How far back a group's layers read what was computed before."""

    def first_token(self, prefix_tokens: int) -> int:
        """The first token of a prefix that is still read once the prefix is computed."""

    def most_tokens(self, chunk_tokens: int) -> int:
        """The most tokens at a chunk's end that any later token may read; at least 1."""


@dataclass(frozen=True)
class Everything:
    """Full attention, and multi-head latent attention."""

    def first_token(self, prefix_tokens: int) -> int:
        """See :class:`Reach`."""
        return 0

    def most_tokens(self, chunk_tokens: int) -> int:
        """See :class:`Reach`."""
        return chunk_tokens


@dataclass(frozen=True)
class Window:
    """Sliding window attention: token ``n`` reads tokens ``n - tokens + 1`` to ``n``."""

    tokens: int
    extra_tokens: int = 0
    """How many more the engine retains, for drafts that read again what was read before."""

    def first_token(self, prefix_tokens: int) -> int:
        """See :class:`Reach`."""
        return max(0, prefix_tokens - self.tokens + 1 - self.extra_tokens)

    def most_tokens(self, chunk_tokens: int) -> int:
        """See :class:`Reach`."""
        return max(1, min(chunk_tokens, self.tokens - 1 + self.extra_tokens))


@dataclass(frozen=True)
class LocalChunks:
    """Chunked local attention: token ``n`` reads from the last multiple of ``tokens`` on."""

    tokens: int

    def first_token(self, prefix_tokens: int) -> int:
        """See :class:`Reach`."""
        return prefix_tokens // self.tokens * self.tokens

    def most_tokens(self, chunk_tokens: int) -> int:
        """See :class:`Reach`."""
        return chunk_tokens


@dataclass(frozen=True)
class State:
    """Recurrent layers: one state holds all of the prefix, as of its last token."""

    def first_token(self, prefix_tokens: int) -> int:
        """See :class:`Reach`."""
        return max(0, prefix_tokens - 1)

    def most_tokens(self, chunk_tokens: int) -> int:
        """See :class:`Reach`."""
        return 1
