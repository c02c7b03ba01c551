"""Lists the pieces that a request loads, in the order in which they get their jobs."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import piece_keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.chunks.tiling import Placement


class LoadOrder:
    """The pieces of ``groups`` that a hit of ``hit_tokens`` needs behind ``skip_tokens``.

    Args:
        groups: of the model.
        keys: of the request's chunks, from its first token on.
        hit_tokens: a whole number of chunks.
        skip_tokens: leading tokens, whole blocks of them, that are in the blocks already.
    """

    def __init__(
        self, groups: Groups, keys: Sequence[str], hit_tokens: int, skip_tokens: int
    ) -> None:
        self._groups = groups
        self._hit_tokens = hit_tokens
        self.skip_tokens = skip_tokens
        """Leading tokens that are not loaded."""
        self.all_chunks = range(
            skip_tokens // groups.chunk_tokens, hit_tokens // groups.chunk_tokens
        )
        """The chunks that the hit covers, whether or not a piece of them is needed."""
        self._parts = tuple(groups.needed(hit_tokens, skip_tokens))
        self.keys: Sequence[str] = [
            key
            for group, chunks in self._parts
            for key in piece_keys(keys[chunks.start : chunks.stop], group)
        ]
        """The keys of the pieces, in their order."""

    def tokens(self, pieces: int) -> int:
        """About how many tokens the first ``pieces`` bring; exact where each chunk has one."""
        size = self._groups.chunk_tokens
        if self._groups.are_one:
            return max(0, pieces * size - self.skip_tokens % size)
        return (self._hit_tokens - self.skip_tokens) * pieces // max(1, len(self.keys))

    def chunks(self) -> Iterator[int]:
        """The number of each piece's chunk."""
        for part in self._parts:
            yield from part.chunks

    def placements(
        self, begin: int, end: int, block_ids: Sequence[Sequence[int]]
    ) -> list[Placement]:
        """Where the pieces from number ``begin`` up to ``end`` lie.

        ``block_ids`` are the request's blocks of each group, from its first token on.
        """
        found: list[Placement] = []
        ends = accumulate(len(part.chunks) for part in self._parts)
        for part, last in zip(self._parts, ends, strict=True):
            start = last - len(part.chunks)
            inside = part.chunks[max(0, begin - start) : max(0, end - start)]
            first_key = start - part.chunks.start
            tiling, table = self._groups.tilings[part.group], block_ids[part.group]
            found += [
                tiling.place(
                    chunk, self.keys[first_key + chunk], table, self._hit_tokens, self.skip_tokens
                )
                for chunk in inside
            ]
        return found
