"""Random caches of random numbers, layouts of their encoded form, and every way to encode and decode."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton.language as tl
from hypothesis import strategies as st
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import QuantisedLayout
from kvtransfer.kernels import decoding_kernel as decoding
from kvtransfer.kernels import encoding_kernel as encoding
from kvtransfer.kernels import quantised_arithmetic as arithmetic
from kvtransfer.kernels.host_quantised import HostQuantised
from kvtransfer.kernels.paged_quantised import PagedQuantised
from kvtransfer.kernels.quantised_reference import gather_quantised, scatter_quantised
from tests.kernels.layouts import ORDERS, POISON, amx_attention, cpu_attention, patterned, split

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
SPECIAL = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-40, -1e-7, 3e38, -65504.0)
JITTED = [
    *((tl, name, getattr(tl, name)) for name in ("sum", "max", "min")),
    *(
        (module, name, value)
        for module in (arithmetic, encoding, decoding)
        for name, value in vars(module).items()
        if isinstance(value, JITFunction)
    ),
]
"""Modules, and names and values of what Triton compiles for the kernels."""


class ReferenceQuantised:
    def __init__(self, planes, layout):
        self.planes, self.layout = planes, layout

    def gather_blocks(self, block_ids, encoded):
        gather_quantised(self.planes, self.layout, block_ids, encoded)

    def scatter_blocks(self, encoded, block_ids, first_token=0):
        scatter_quantised(encoded, self.layout, self.planes, block_ids, first_token)


def interpreted_quantised(planes, layout):
    """The Triton kernels; on CPU tensors within ``interpret``."""
    return PagedQuantised(planes, layout, programs=2, tile_numbers=1 << 13)


def interpret(patch):
    """Let Triton's interpreter run the kernels, and all jitted functions that they call."""
    for module, name, function in JITTED:
        patch.setattr(module, name, InterpretedFunction(function.fn))


def compile_again(patch):
    """Undo ``interpret``, for planes on a GPU."""
    for jitted in JITTED:
        patch.setattr(*jitted)


@dataclass
class QuantisedCase:
    """Caches in some layout, how a chunk of them is encoded, and which of its tokens go where."""

    paged: PagedCaches
    caches: list[torch.Tensor]
    layout: QuantisedLayout
    block_ids: list[int]
    """Of all tokens of the chunk."""
    first_block: int
    end_block: int
    """Which of them a scatter writes."""

    @property
    def scattered(self):
        """The blocks that a scatter writes, and the token with which it begins."""
        ids = self.block_ids[self.first_block : self.end_block]
        return ids, self.first_block * self.paged.block_tokens

    def encoded_by(self, way):
        """A chunk, and the poison around it and where nothing is written."""
        memory = torch.full((self.layout.nbytes + 2048,), POISON, dtype=torch.uint8)
        encoded = memory[1024 : 1024 + self.layout.nbytes]
        way(self.paged.planes, self.layout).gather_blocks(self.block_ids, encoded)
        return memory

    def memory_after(self, way, encoded):
        """All bytes of the caches after a scatter of ``encoded``; they are then as before."""
        before = [whole(cache).clone() for cache in self.caches]
        way(self.paged.planes, self.layout).scatter_blocks(encoded, *self.scattered)
        after = [whole(cache).clone() for cache in self.caches]
        for cache, memory in zip(self.caches, before, strict=True):
            whole(cache).copy_(memory)
        return after


def whole(cache):
    """All bytes that the cache is a view into."""
    return torch.empty(0, dtype=torch.uint8).set_(cache.untyped_storage())


def layout_of(paged, bits, exact_tokens=0, exact_dims=0):
    """The layout of an encoded chunk of ``paged``."""
    chunk, dtype = paged.chunk, paged.planes[0].dtype
    tokens, heads, dim = chunk.plane_shape
    planes_a_layer = 2 if chunk.layout == "split" else 1
    return QuantisedLayout(
        bits, chunk.planes, planes_a_layer, tokens, heads, dim, dtype.itemsize, exact_tokens, exact_dims
    )  # fmt: skip


@st.composite
def quantised_cases(draw, layouts=(*ORDERS, "MLA", "cpu", "amx")):
    layout = draw(st.sampled_from(layouts))
    dtype = torch.bfloat16 if layout == "amx" else draw(st.sampled_from(FLOATS))
    paged, caches = _caches(draw, layout, dtype)
    _fill(draw, caches, dtype)
    dim = paged.chunk.plane_shape[2]
    encoded = layout_of(
        paged,
        draw(st.sampled_from([8, 5, 4])),
        draw(st.sampled_from([0, 1, 4, 17])),
        draw(st.sampled_from([0, 0, min(2, dim - 2), dim // 2 // 2 * 2])),
    )
    blocks = encoded.tokens // paged.block_tokens
    block_ids = draw(st.permutations(range(paged.blocks)))[:blocks]
    first = draw(st.integers(0, blocks - 1))
    return QuantisedCase(paged, caches, encoded, block_ids, first, draw(st.integers(first, blocks)))


def _caches(draw, layout, dtype):
    sizes = {
        "L": draw(st.integers(1, 3)),
        "H": draw(st.integers(1, 3)),
        "N": draw(st.sampled_from([16, 32, 48, 64, 128, 256])),
        "C": 2 * draw(st.sampled_from([16, 48] if layout == "amx" else [2, 16, 40, 64, 66])),
    }
    least = math.lcm(64, sizes["N"])
    tokens = least * draw(st.integers(1, max(1, 256 // least)))
    sizes["B"] = tokens // sizes["N"] + draw(st.integers(0, 2))
    if layout == "cpu":
        return cpu_attention(dtype, sizes, tokens)[:2]
    if layout == "amx":
        return amx_attention(sizes, tokens)[:2]
    if layout == "MLA":
        caches = list(patterned(dtype, *(sizes[d] for d in "LBHNC")))
        return PagedCaches.content(caches, tokens), caches
    return split(layout, dtype, sizes, tokens, draw(st.sampled_from([0, 0, 3, 16])))[:2]


def _fill(draw, caches, dtype):
    """Numbers of some size around some mean, special ones among them; or any bits at all."""
    if draw(st.integers(0, 5)) == 0:
        return
    size, mean = 10.0 ** draw(st.integers(-9, 6)), draw(st.sampled_from([0.0, 0.0, 3.5, -700.0]))
    for cache in caches:
        cache.copy_((torch.randn(cache.shape) * size + mean).to(dtype))
        for number in draw(st.lists(st.sampled_from(SPECIAL), max_size=3)):
            cache[tuple(draw(st.integers(0, size - 1)) for size in cache.shape)] = number


ON_HOST = [HostQuantised, ReferenceQuantised]
ALL = [*ON_HOST, interpreted_quantised]
