"""Checks what a caller passes to ``KVTransfer`` before anything begins."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import SupportsIndex

_SHOWN = 8
"""Values that a message names."""


def checked_tokens(token_ids: object) -> Sequence[int]:
    """Return ``token_ids`` if it is a sequence of integers; hashing checks their range.

    Raises:
        ValueError: it isn't.
    """
    if not isinstance(token_ids, Iterable) or not hasattr(token_ids, "__getitem__"):
        raise ValueError(f"token_ids={token_ids!r} is no sequence; pass the ids in order")
    kinds = set(map(type, token_ids))
    wrong = sorted(kind.__name__ for kind in kinds if not _is_integer(kind))
    if wrong:
        raise ValueError(f"token_ids holds {', '.join(wrong)}; pass integers only")
    return token_ids  # type: ignore[return-value]


def checked_blocks(block_ids: object, needed: int, blocks: int) -> list[int]:
    """Return the first ``needed`` of ``block_ids`` if all are distinct and in ``[0, blocks)``.

    Raises:
        ValueError: they aren't, or there are fewer.
    """
    if not isinstance(block_ids, Iterable):
        raise ValueError(f"block_ids={block_ids!r} is no sequence; pass the blocks in order")
    given = list(block_ids)
    if wrong := [block for block in given if not _is_integer(type(block))]:
        raise ValueError(f"block_ids={wrong[:_SHOWN]!r} are no integers; pass block numbers")
    ids = [int(block) for block in given]
    if wrong := [block for block in ids if not 0 <= block < blocks]:
        raise ValueError(f"block_ids={wrong[:_SHOWN]} are not in [0, {blocks})")
    if len(set(ids)) < len(ids):
        twice = sorted({block for block in ids if ids.count(block) > 1})
        raise ValueError(
            f"block_ids={twice[:_SHOWN]} are named twice; each token has its own block"
        )
    if len(ids) < needed:
        raise ValueError(
            f"block_ids has {len(ids)} blocks, the tokens to copy take {needed}; pass a block for "
            "each of them"
        )
    return ids[:needed]


def checked_skip(skip_tokens: object, tokens: int, block_tokens: int) -> int:
    """Return ``skip_tokens`` if it is the length of some whole blocks, at most ``tokens``.

    Raises:
        ValueError: it isn't.
    """
    if not _is_integer(type(skip_tokens)) or not isinstance(skip_tokens, SupportsIndex):
        raise ValueError(f"skip_tokens={skip_tokens!r} is no integer; pass a count of tokens")
    skip = int(skip_tokens)
    if not 0 <= skip <= tokens or skip % block_tokens:
        raise ValueError(
            f"skip_tokens={skip} must be a multiple of the block's {block_tokens} tokens in "
            f"[0, {tokens}]"
        )
    return skip


def _is_integer(kind: type) -> bool:
    """Whether ``kind`` is an integer type of Python, NumPy or torch; a bool is none."""
    return hasattr(kind, "__index__") and not issubclass(kind, bool)
