"""How the chunks of a request's tokens lie in its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Target(NamedTuple):
    """A chunk and the blocks that it is wanted in, see :class:`kvtransfer.plan.Load`."""

    key: str
    block_ids: tuple[int, ...] = ()
    first_token: int = 0


@dataclass(frozen=True)
class Tiling:
    """How tokens lie in blocks and in chunks."""

    chunk_tokens: int
    block_tokens: int
    """A divisor of ``chunk_tokens``."""

    def blocks(self, chunk: int, block_ids: Sequence[int]) -> tuple[int, ...]:
        """Those of a request's ``block_ids`` that hold its ``chunk``-th chunk."""
        ratio = self.chunk_tokens // self.block_tokens
        return tuple(block_ids[chunk * ratio : (chunk + 1) * ratio])

    def targets(
        self, keys: Sequence[str], block_ids: Sequence[int], skip_tokens: int, first: int = 0
    ) -> list[Target]:
        """The chunks ``keys`` of a request in its ``block_ids``, without ``skip_tokens`` of them.

        ``skip_tokens`` whole blocks at the front are not written, nor chunks before the ``first``.
        """
        skip_chunks, skip_tokens = divmod(skip_tokens, self.chunk_tokens)
        first = max(first, skip_chunks)
        targets = [
            Target(keys[chunk], self.blocks(chunk, block_ids)) for chunk in range(first, len(keys))
        ]
        if first == skip_chunks and skip_tokens and targets:
            key, blocks, _ = targets[0]
            targets[0] = Target(key, blocks[skip_tokens // self.block_tokens :], skip_tokens)
        return targets
