"""Random blocks in random layouts, and what must hold of every copy of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from hypothesis import strategies as st

from kvtransfer.kernels import reference
from tests.kernels.layouts import (
    DTYPES,
    ORDERS,
    POISON,
    amx_attention,
    cpu_attention,
    patterned,
    same,
    split,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.chunks.paged import PagedCaches


@dataclass
class Case:
    """Caches in some layout, and whole blocks of them for a part of a chunk."""

    paged: PagedCaches
    caches: list[torch.Tensor]
    cell: Callable[..., torch.Tensor]
    """The oracle: one head of one token."""
    block_ids: list[int]
    first_token: int

    def chunk(self):
        """A chunk with poison in it and around it, and the whole of that memory."""
        memory = torch.full((self.paged.chunk.nbytes + 2048,), POISON, dtype=torch.uint8)
        flat = memory[1024 : 1024 + self.paged.chunk.nbytes].view(self.paged.planes[0].dtype)
        return flat.view(self.paged.chunk.planes, *self.paged.chunk.plane_shape), memory

    @property
    def tokens(self):
        """Of the chunk, that the blocks are."""
        count = len(self.block_ids) * self.paged.block_tokens
        return slice(self.first_token, self.first_token + count)


@st.composite
def cases(draw, layouts=(*ORDERS, "cpu", "amx")):
    layout = draw(st.sampled_from(layouts))
    sizes = {
        "L": draw(st.integers(1, 3)),
        "B": draw(st.integers(3, 6)),
        "H": draw(st.integers(1, 3)),
        "N": draw(st.sampled_from([16, 32] if layout == "amx" else [1, 2, 4, 16])),
        "C": 2 * draw(st.sampled_from([16, 48] if layout == "amx" else [1, 3, 8, 10])),
    }
    dtype = draw(st.sampled_from(DTYPES))
    chunk_blocks = draw(st.integers(1, sizes["B"]))
    chunk_tokens = chunk_blocks * sizes["N"]
    if layout == "cpu":
        paged, caches, cell = cpu_attention(dtype, sizes, chunk_tokens)
    elif layout == "amx":
        paged, caches, cell = amx_attention(sizes, chunk_tokens)
    else:
        padding = draw(st.sampled_from([0, 0, 3, 16]))
        paged, caches, cell = split(layout, dtype, sizes, chunk_tokens, padding)
    first = draw(st.integers(0, chunk_blocks - 1))
    count = draw(st.integers(0, chunk_blocks - first))
    block_ids = draw(st.permutations(range(sizes["B"])))[:count]
    return Case(paged, caches, cell, block_ids, first * sizes["N"])


def gather_puts_every_token_in_its_place_and_nothing_else(copy, case):
    chunk, memory = case.chunk()
    copy(case.paged.planes).gather_blocks(case.block_ids, chunk, case.first_token)
    block_tokens = case.paged.block_tokens
    for i, block in enumerate(case.block_ids):
        for token in range(block_tokens):
            for plane in range(len(case.paged.planes)):
                for head in range(chunk.shape[2]):
                    got = chunk[plane, case.first_token + i * block_tokens + token, head]
                    assert same(got, case.cell(plane // 2, plane % 2, block, token, head))
    chunk[:, case.tokens].view(torch.uint8)[:] = POISON
    assert (memory == POISON).all()


def scatter_undoes_gather_in_the_named_blocks_only(copy, case):
    chunk, _ = case.chunk()
    reference.gather_blocks(case.paged.planes, case.block_ids, chunk, case.first_token)
    before = [_memory(cache).clone() for cache in case.caches]
    for plane in case.paged.planes:
        for block in case.block_ids:
            plane[block] = patterned(plane.dtype, *plane.shape[1:])
    copy(case.paged.planes).scatter_blocks(chunk, case.block_ids, case.first_token)
    for cache, memory in zip(case.caches, before, strict=True):
        assert torch.equal(_memory(cache), memory)


def _memory(cache):
    """All bytes that the cache is a view into."""
    return torch.empty(0, dtype=torch.uint8).set_(cache.untyped_storage())
