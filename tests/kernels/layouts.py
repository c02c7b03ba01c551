"""Paged caches in every layout that vLLM uses, each with an oracle that reads one token's cell."""

from __future__ import annotations

import torch

from kvtransfer.chunks.paged import PagedCaches

ORDERS = ("LBHNC", "LBNHC", "LHBNC", "BLHNC", "BLNHC", "BHLNC")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.uint8)
POISON = 0x5A


def patterned(dtype, *shape):
    """Random bytes: every bit pattern may stand in a cache, NaNs too."""
    words = torch.randint(0, 256, (*shape, dtype.itemsize), dtype=torch.uint8)
    return words.view(dtype).squeeze(-1) if dtype.itemsize > 1 else words.squeeze(-1).view(dtype)


def ordered(order, dtype, sizes, padding=0):
    """One ``[B, H, N, C]`` view a layer of memory whose dimensions lie as ``order`` says.

    ``padding`` elements are left free behind each row of the outermost dimension but one.
    """
    memory = patterned(dtype, *(sizes[d] + (padding if d == "C" else 0) for d in order))
    view = memory.permute([order.index(d) for d in "LBHNC"])
    return list(view[..., : sizes["C"]])


def same(a, b):
    return torch.equal(raw(a), raw(b))


def raw(tensor):
    # A cell of one element may have any stride, which a view as bytes refuses.
    bare = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return bare.copy_(tensor).view(torch.uint8)


def split(order, dtype, sizes, chunk_tokens, padding=0):
    caches = ordered(order, dtype, sizes, padding)
    dim = sizes["C"] // 2

    def cell(layer, kv, block, token, head):
        return caches[layer][block, head, token, kv * dim : (kv + 1) * dim]

    return PagedCaches.split(caches, chunk_tokens), caches, cell


def cpu_attention(dtype, sizes, chunk_tokens):
    caches = ordered("LBHNC", dtype, sizes)
    dim, tokens = sizes["C"] // 2, sizes["N"]

    def cell(layer, kv, block, token, head):
        page = caches[layer][block, head].reshape(-1)
        if kv == 0:
            return page[: dim * tokens].view(dim, tokens)[:, token]
        return page[dim * tokens :].view(tokens, dim)[token]

    return PagedCaches.cpu_attention(caches, chunk_tokens), caches, cell


def amx_attention(sizes, chunk_tokens):
    caches = ordered("LBHNC", torch.bfloat16, sizes)
    dim, tokens = sizes["C"] // 2, sizes["N"]

    element = torch.arange(dim)

    def at(kv, token):
        """Where vLLM's ``cpu_attn_amx.hpp`` puts each element of a token in a page."""
        if kv == 0:
            return token // 16 * 16 * dim + element // 2 * 32 + token % 16 * 2 + element % 2
        value = element // 16 * 16 * tokens + token // 2 * 32 + element % 16 * 2 + token % 2
        return dim * tokens + value

    def cell(layer, kv, block, token, head):
        return caches[layer][block, head].reshape(-1)[at(kv, token)]

    return PagedCaches.cpu_attention_amx(caches, chunk_tokens), caches, cell
