"""Says which chunks a copy reads, and which tokens of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.passages.run import Run


@dataclass(frozen=True)
class ChunkPart:
    """Tokens ``[first, first + tokens)`` of a chunk, and where they go."""

    key: str
    first: int
    tokens: int
    start: int
    """The token of the prompt where the first of them goes."""


def chunk_parts(copy: Run) -> tuple[ChunkPart, ...]:
    """Cut ``copy`` at the borders of its source's chunks.

    All parts but the first and the last are whole chunks. Their keys are rotated by `copy.shift`.
    """
    chunk_tokens, keys = copy.source.chunk_tokens, copy.source.keys
    touched = range(copy.source_start // chunk_tokens, -(-copy.source_end // chunk_tokens))
    parts = []
    for chunk in touched:
        begin = max(copy.source_start, chunk * chunk_tokens)
        end = min(copy.source_end, (chunk + 1) * chunk_tokens)
        to = copy.start + begin - copy.source_start
        parts.append(ChunkPart(keys[chunk], begin - chunk * chunk_tokens, end - begin, to))
    return tuple(parts)
