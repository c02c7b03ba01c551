"""Defines a copy, on any device: ``chunk[p, first + t] = planes[p][block_ids[t // N], t % N]``.

This holds for all planes ``p`` and all tokens ``t`` of the named blocks of ``N`` tokens each. Nothing
else is written.

A plane is ``[blocks, block_tokens, heads, dim]``, with any strides. Where one stride isn't enough for
the tokens of a block or the elements of a head, both are cut into two dimensions:
``[blocks, tokens / 16, 16, heads, dim / 2, 2]`` is a plane, too.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor


def gather_blocks(
    planes: Sequence[Tensor], block_ids: Sequence[int], chunk: Tensor, first_token: int = 0
) -> None:
    """Copy whole blocks into ``chunk``.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, any strides, all alike.
        block_ids: the blocks of the tokens from ``first_token`` on, in token order.
        chunk: ``[planes, tokens, heads, dim]`` of the planes' dtype, contiguous.
        first_token: the token of the chunk with which the first block begins.

    Raises:
        ValueError: the arguments don't fit each other; the message names them and their values.
    """
    for token, block in _pairs(planes, block_ids, chunk, first_token):
        for rows, plane in zip(chunk, planes, strict=True):
            own = rows[token : token + plane_shape(plane)[1]]
            own.copy_(plane[block].reshape(own.shape))


def scatter_blocks(
    chunk: Tensor, planes: Sequence[Tensor], block_ids: Sequence[int], first_token: int = 0
) -> None:
    """Copy ``chunk`` into whole blocks, each named once; the inverse of ``gather_blocks``.

    Arguments and errors are those of ``gather_blocks``. A block that is named twice is a
    ``ValueError``, too.
    """
    check_distinct(block_ids)
    for token, block in _pairs(planes, block_ids, chunk, first_token):
        for rows, plane in zip(chunk, planes, strict=True):
            own = rows[token : token + plane_shape(plane)[1]]
            plane[block] = own.reshape(plane.shape[1:])


def plane_shape(plane: Tensor) -> tuple[int, int, int, int]:
    """Return ``blocks``, ``block_tokens``, ``heads`` and ``dim`` of a plane, cut or not."""
    blocks, *page = plane.shape
    middle = len(page) // 2
    return blocks, prod(page[:middle]), page[middle], prod(page[middle + 1 :])


def check_fit(
    planes: Sequence[Tensor], block_ids: Sequence[int], chunk: Tensor, first_token: int
) -> None:
    """Raise ValueError, with names and values, for arguments that don't fit each other.

    ``planes`` must be alike, which ``check_alike`` has checked when they were taken.
    """
    check_chunk(planes, chunk)
    blocks, block_tokens, _, _ = plane_shape(planes[0])
    if first_token % block_tokens or first_token < 0:
        raise ValueError(f"first_token={first_token} is no multiple of {block_tokens}")
    end_token = first_token + len(block_ids) * block_tokens
    if end_token > chunk.shape[1]:
        raise ValueError(f"token {end_token} is past the chunk's {chunk.shape[1]}")
    check_blocks(block_ids, blocks)


def check_chunk(planes: Sequence[Tensor], chunk: Tensor) -> None:
    """Raise ValueError for a chunk that isn't ``[planes, tokens, heads, dim]`` of the planes."""
    _, _, heads, dim = plane_shape(planes[0])
    if (len(planes), heads, dim) != (chunk.shape[0], *chunk.shape[2:]):
        raise ValueError(
            f"chunk {list(chunk.shape)} is not [{len(planes)}, tokens, {heads}, {dim}]"
        )
    if chunk.dtype != planes[0].dtype:
        raise ValueError(f"chunk of {chunk.dtype} does not fit planes of {planes[0].dtype}")
    if not chunk.is_contiguous():
        raise ValueError(f"chunk must be contiguous, got strides {list(chunk.stride())}")


def check_blocks(block_ids: Sequence[int], blocks: int) -> None:
    """Raise ValueError for blocks that don't exist."""
    wrong = [block for block in block_ids if not 0 <= block < blocks]
    if wrong:
        raise ValueError(f"block_ids={wrong} are not in [0, {blocks})")


def check_distinct(block_ids: Sequence[int]) -> None:
    """Raise ValueError if a block would be written twice."""
    if len(set(block_ids)) != len(block_ids):
        raise ValueError(f"block_ids={list(block_ids)} name a block twice")


def check_alike(planes: Sequence[Tensor]) -> None:
    """Raise ValueError for planes of different shapes or dtypes.

    A copy of such planes would not fail: it would broadcast, convert or reach past an end.
    """
    if not planes:
        raise ValueError("there are no planes; pass at least one")
    like = plane_shape(planes[0]), planes[0].dtype
    for i, plane in enumerate(planes):
        if (plane_shape(plane), plane.dtype) != like:
            raise ValueError(
                f"planes[{i}] is {list(plane_shape(plane))} of {plane.dtype}, "
                f"planes[0] is {list(like[0])} of {like[1]}; they must be alike"
            )


def _pairs(
    planes: Sequence[Tensor], block_ids: Sequence[int], chunk: Tensor, first_token: int
) -> Iterator[tuple[int, int]]:
    """Pair the tokens of the chunk with which blocks begin with those blocks."""
    check_alike(planes)
    check_fit(planes, block_ids, chunk, first_token)
    block_tokens = plane_shape(planes[0])[1]
    return zip(
        range(first_token, chunk.shape[1], block_tokens),
        block_ids,
        strict=False,  # the chunk may go on behind the last block
    )
