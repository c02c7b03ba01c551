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
        self, keys: Sequence[str], block_ids: Sequence[int], skip_tokens: int
    ) -> list[Target]:
        """The chunks ``keys`` of a request in its ``block_ids``, without ``skip_tokens`` of them.

        ``skip_tokens`` whole blocks at the front are not written.
        """
        targets = []
        for chunk in range(skip_tokens // self.chunk_tokens, len(keys)):
            first_token = max(0, skip_tokens - chunk * self.chunk_tokens)
            blocks = self.blocks(chunk, block_ids)[first_token // self.block_tokens :]
            targets.append(Target(keys[chunk], blocks, first_token))
        return targets
