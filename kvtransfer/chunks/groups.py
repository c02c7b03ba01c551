"""Describes the cache groups of a model, and finds what a prefix needs of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from kvtransfer.chunks.keys import piece_key, piece_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.chunks.tiling import Tiling


class Part(NamedTuple):
    """Pieces of one group, of neighbouring chunks."""

    group: int
    chunks: range


@dataclass(frozen=True)
class Groups:
    """The tilings of a model's cache groups, all with chunks of the same size."""

    tilings: tuple[Tiling, ...]

    @cached_property
    def chunk_tokens(self) -> int:
        """Tokens of a chunk."""
        return self.tilings[0].chunk_tokens

    @cached_property
    def are_one(self) -> bool:
        """Whether the only group reads all tokens: then a chunk is its one piece."""
        return len(self.tilings) == 1 and self.tilings[0].reads_all

    @cached_property
    def lasting(self) -> tuple[int, ...]:
        """The groups whose blocks stay with a request until its end."""
        return tuple(g for g, tiling in enumerate(self.tilings) if tiling.reads_all)

    @cached_property
    def passing(self) -> tuple[int, ...]:
        """The groups whose blocks the engine takes back while a request runs."""
        return tuple(g for g, tiling in enumerate(self.tilings) if not tiling.reads_all)

    @cached_property
    def main(self) -> int:
        """The group whose pieces stand for their chunks where tokens are counted."""
        return self.lasting[0] if self.lasting else 0

    def usable(self, keys: Sequence[str], tokens: int) -> Sequence[str]:
        """The keys of the chunks that a request of ``tokens`` may load.

        It computes its last token in any case. Where a state or a window is loaded, that token must
        not be a part of it: nothing can be taken back to one token earlier.
        """
        if not self.passing or len(keys) * self.chunk_tokens < tokens:
            return keys
        return keys[: (tokens - 1) // self.chunk_tokens]

    def piece_keys(self, keys: Sequence[str]) -> Sequence[str]:
        """The keys of all pieces of the chunks ``keys``."""
        if self.are_one:
            return keys
        return [key for group in range(len(self.tilings)) for key in piece_keys(keys, group)]

    def left_by(self, keys: Sequence[str], tokens: int) -> Iterator[Sequence[str]]:
        """The keys, group by group, of what a prompt of ``tokens`` leaves for later ones to load.

        Of a group that reads everything these are all of its chunks, ``keys``; of another what
        continuing behind the last usable one reads.
        """
        usable_tokens = len(self.usable(keys, tokens)) * self.chunk_tokens
        for group, tiling in enumerate(self.tilings):
            chunks = range(len(keys)) if tiling.reads_all else tiling.needed(usable_tokens)
            if chunks:
                yield piece_keys(keys[chunks.start : chunks.stop], group)

    def needed(self, hit_tokens: int, skip_tokens: int) -> Iterator[Part]:
        """What a hit of ``hit_tokens`` needs behind ``skip_tokens``, in the order to load it.

        What few requests share comes first: without it the rest need not be fetched.
        """
        for group in (*self.passing, *self.lasting):
            chunks = self.tilings[group].needed(hit_tokens, skip_tokens)
            if chunks:
                yield Part(group, chunks)

    def longest_hit(
        self,
        keys: Sequence[str],
        is_held: Callable[[str], bool],
        most_tokens: int,
        skip_tokens: int,
    ) -> int:
        """The longest prefix behind ``skip_tokens`` of which every needed piece is held.

        Args:
            keys: of the request's chunks, from its first token on.
            is_held: whether a piece can be loaded.
            most_tokens: how long it may be.
            skip_tokens: leading tokens that are in the blocks already.

        Returns:
            Its tokens, a whole number of chunks, or ``skip_tokens`` where there is none.
        """

        def holds(group: int, chunk: int) -> bool:
            return is_held(piece_key(keys[chunk], group))

        size = self.chunk_tokens
        most = self._held_whole(holds, min(len(keys), most_tokens // size), skip_tokens)
        for hit_tokens in range(most * size, skip_tokens, -size):
            if any(self.needed(hit_tokens, skip_tokens)) and all(
                holds(group, chunk)
                for group in self.passing
                for chunk in reversed(self.tilings[group].needed(hit_tokens, skip_tokens))
            ):
                return hit_tokens
        return skip_tokens

    def _held_whole(
        self, holds: Callable[[int, int], bool], most_chunks: int, skip_tokens: int
    ) -> int:
        """How many chunks the groups that read everything hold, from the first on."""
        most = most_chunks
        for group in self.lasting:
            chunk = skip_tokens // self.chunk_tokens
            while chunk < most and holds(group, chunk):
                chunk += 1
            most = chunk
        return most
