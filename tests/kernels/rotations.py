"""Random ranges of random chunks in random layouts, and every way to rotate and scatter them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from triton.runtime.interpreter import InterpretedFunction

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import paged_rotation, rotation_reference
from kvtransfer.kernels.host_rotation import HostRotation
from kvtransfer.kernels.paged_rotation import PagedRotation
from kvtransfer.kernels.rotation import PAIRINGS, Rotation
from kvtransfer.kernels.token_move import TokenMove
from tests.kernels.layouts import ORDERS, amx_attention, cpu_attention, patterned, split

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
POSITIONS = 500
COMPILED = paged_rotation.scatter_rotated
INTERPRETED_ROTATION = InterpretedFunction(COMPILED.fn)


class ReferenceRotation:
    def __init__(self, planes, rotation, planes_a_layer):
        self.planes = planes
        self.rotation, self.planes_a_layer = rotation, planes_a_layer

    def scatter_tokens(self, chunk, token_move):
        rotation_reference.scatter_tokens(
            chunk, self.planes, token_move, self.rotation, self.planes_a_layer
        )


def interpreted_rotation(planes, rotation, planes_a_layer):
    """The Triton kernel; on CPU tensors under the fixture ``interpreted_rotation_kernel``."""
    return PagedRotation(planes, rotation, planes_a_layer, programs=2, tile_words=1 << 12)


@dataclass
class RotationCase:
    """Caches in some layout, a chunk, and where a range of its tokens goes."""

    paged: PagedCaches
    caches: list[torch.Tensor]
    chunk: torch.Tensor
    rotation: Rotation
    token_move: TokenMove

    @property
    def planes_a_layer(self):
        return 2 if self.paged.chunk.layout == "split" else 1

    def memory_after(self, scatter):
        """All bytes of the caches after ``scatter``, which are then as before."""
        before = [whole(cache).clone() for cache in self.caches]
        scatter(self.paged.planes, self.rotation, self.planes_a_layer).scatter_tokens(
            self.chunk, self.token_move
        )
        after = [whole(cache).clone() for cache in self.caches]
        for cache, memory in zip(self.caches, before, strict=True):
            whole(cache).copy_(memory)
        return after


def whole(cache):
    """All bytes that the cache is a view into."""
    return torch.empty(0, dtype=torch.uint8).set_(cache.untyped_storage())


def chunk_like(paged):
    """Finite keys or content, and values of any bits; numbers of many sizes."""
    dtype = paged.planes[0].dtype
    shape = (paged.chunk.planes, *paged.chunk.plane_shape)
    chunk = (torch.randn(shape) * torch.exp2(torch.randint(-9, 9, shape).float())).to(dtype)
    if paged.chunk.layout == "split":
        chunk[1::2] = patterned(dtype, *chunk[1::2].shape)
    return chunk


def table_of(size, dtype=torch.float32):
    """A rotary table with a factor, as YaRN's; ``[POSITIONS, size]``."""
    angles = torch.arange(POSITIONS)[:, None] / 10 ** torch.linspace(0, 3, size // 2)
    return (1.14 * torch.cat([angles.cos(), angles.sin()], dim=-1)).to(dtype)


@st.composite
def rotation_cases(draw, layouts=(*ORDERS, "MLA", "cpu", "amx")):
    layout = draw(st.sampled_from(layouts))
    dtype = torch.bfloat16 if layout == "amx" else draw(st.sampled_from(FLOATS))
    paged, caches = _caches(draw, layout, dtype)
    chunk_tokens, _, dim = paged.chunk.plane_shape
    size = 2 * draw(st.integers(1, dim // 2))
    start = draw(st.integers(0, dim - size))
    table = table_of(size, draw(st.sampled_from([torch.float32, dtype])))
    rotation = Rotation(table, draw(st.sampled_from(PAIRINGS)), start)
    first = draw(st.integers(0, chunk_tokens))
    end = draw(st.integers(first, chunk_tokens))
    block_token = draw(st.integers(0, paged.block_tokens - 1))
    needed = -(-(block_token + end - first) // paged.block_tokens) if end > first else 0
    ids = range(paged.blocks)
    start_id = draw(st.integers(0, paged.blocks - needed))
    block_ids = draw(st.one_of(st.permutations(ids), st.just(ids[start_id:])))[:needed]
    source = draw(st.integers(0, POSITIONS - chunk_tokens))
    target = draw(st.one_of(st.just(source), st.integers(0, POSITIONS - chunk_tokens)))
    token_move = TokenMove(first, end, block_ids, block_token, source, target)
    return RotationCase(paged, caches, chunk_like(paged), rotation, token_move)


def _caches(draw, layout, dtype):
    sizes = {
        "L": draw(st.integers(1, 3)),
        "B": draw(st.integers(4, 6)),
        "H": draw(st.integers(1, 3)),
        "N": draw(st.sampled_from([16, 32] if layout == "amx" else [1, 2, 4, 16])),
        "C": 2 * draw(st.sampled_from([16, 48] if layout == "amx" else [2, 8, 10])),
    }
    chunk_tokens = draw(st.integers(1, sizes["B"] - 1)) * sizes["N"]
    if layout == "cpu":
        paged, caches, _ = cpu_attention(dtype, sizes, chunk_tokens)
    elif layout == "amx":
        paged, caches, _ = amx_attention(sizes, chunk_tokens)
    elif layout == "MLA":
        caches = list(patterned(dtype, *(sizes[d] for d in "LBHNC")))
        paged = PagedCaches.content(caches, chunk_tokens)
    else:
        padding = draw(st.sampled_from([0, 0, 3, 16]))
        paged, caches, _ = split(layout, dtype, sizes, chunk_tokens, padding)
    return paged, caches


ON_HOST = [HostRotation, ReferenceRotation]
ALL = [*ON_HOST, interpreted_rotation]
