"""Host pools with the layouts that SGLang 0.5.23 documents, filled with random bytes.

``kv`` holds keys before values; ``page_first`` orders a half by page, token and layer,
``page_first_direct`` by page, layer and token, and ``layer_first`` by layer and token.
"""

from __future__ import annotations

import torch

PAGE = 4
PAGES = 6


def tokens_of(*pages):
    """The indices of the tokens of these pages."""
    return torch.cat([torch.arange(page * PAGE, (page + 1) * PAGE) for page in pages])


class Pool:
    """One or more tensors, each ``[pages, ...]`` and contiguous, so that a page is a row of each."""

    def __init__(self, layout, dtype, shapes, seed, **facts):
        self.layout, self.dtype, self.page_size = layout, dtype, PAGE
        self.start_layer, self.end_layer, self.layer_num = 0, 2, 2
        vars(self).update(facts)
        generator = torch.Generator().manual_seed(seed)
        self.tensors = [
            torch.randint(0, 256, (PAGES, *shape, dtype.itemsize), generator=generator)
            .to(torch.uint8)
            .view(dtype)
            .squeeze(-1)
            for shape in shapes
        ]

    def get_page_buffer_meta(self, indices):
        assert len(indices) % PAGE == 0
        pages = indices[::PAGE].tolist()
        rows = [tensor[page // PAGE] for page in pages for tensor in self.tensors]
        return [row.data_ptr() for row in rows], [row.nbytes for row in rows]

    def get_data_page(self, index, flat=True):
        rows = [tensor[index // PAGE] for tensor in self.tensors]
        return torch.cat([row.reshape(-1).view(torch.uint8) for row in rows])

    def get_dummy_flat_data_page(self):
        return torch.zeros_like(self.get_data_page(0))

    def set_from_flat_data_page(self, index, data_page):
        begin = 0
        for tensor in self.tensors:
            row = tensor[index // PAGE]
            row.view(torch.uint8).reshape(-1).copy_(data_page[begin : begin + row.nbytes])
            begin += row.nbytes

    def bytes_of(self, *pages):
        return [bytes(self.get_data_page(page * PAGE).numpy()) for page in pages]

    def wipe(self):
        for tensor in self.tensors:
            tensor.view(torch.uint8).zero_()


class LayerFirstPool(Pool):
    """The same content, of which each layer lies apart: ``[2, layers, tokens, heads, dim]``."""

    def get_page_buffer_meta(self, indices):
        scattered = [0] * 64
        return scattered, [1] * len(scattered)  # their number alone is looked at


class ScatteredPool(Pool):
    """A pool that has no addresses in its layout, as several of SGLang's say."""

    def get_page_buffer_meta(self, indices):
        raise ValueError(f"Unsupported layout: {self.layout}")


class LogicalPool:
    """A main pool without memory; what its pages stand for lies in other pools."""

    layout, dtype, page_size, kv_buffer = "layer_first", torch.uint8, PAGE, None

    def get_page_buffer_meta(self, indices):
        return None


class UnstorablePool(ScatteredPool):
    """A pool that refuses to give out pages in any form."""

    def get_dummy_flat_data_page(self):
        raise NotImplementedError("scales live elsewhere")


def mha(layout="page_first", dtype=torch.bfloat16, seed=1, heads=2, kind=Pool):
    half = (PAGE, 2, heads, 8)
    return kind(layout, dtype, [half, half], seed, head_num=heads, head_dim=8)


def mla(layout="page_first", dtype=torch.bfloat16, seed=1):
    return Pool(layout, dtype, [(PAGE, 2, 1, 24)], seed, kv_lora_rank=16, qk_rope_head_dim=8)


def states(seed=1):
    return Pool("page_first", torch.float32, [(2, 10), (2, 3), (2, 5)], seed)
