"""Runs the code of vLLM that packs pages, in a process that has loaded one library of its kernels."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = 5


@dataclass(frozen=True)
class Write:
    """What the engine writes into whole blocks of an empty cache."""

    packing: str
    keys: torch.Tensor
    """``[tokens, heads, dim]``, as are the values."""
    values: torch.Tensor
    block_ids: tuple[int, ...]

    @property
    def block_tokens(self):
        return len(self.keys) // len(self.block_ids)


def packer(library: Path) -> ProcessPoolExecutor:
    """A process for ``packed``; two libraries in one process would register the same kernels."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _load, (library,))


def packed(write: Write):
    """``[blocks, heads, tokens, 2 * dim]`` as an array of bytes, once vLLM has written."""
    heads, dim = write.keys.shape[1:]
    n = write.block_tokens
    slots = torch.cat([torch.arange(n) + n * block for block in write.block_ids])
    cache = torch.zeros(BLOCKS, heads, 2 * n, dim, dtype=write.keys.dtype)
    torch.ops._C.cpu_attn_reshape_and_cache(
        write.keys, write.values, *cache.chunk(2, dim=2), slots, write.packing, 1.0, 1.0, "auto"
    )
    return cache.view(BLOCKS, heads, n, 2 * dim).view(torch.uint8).numpy()


def _load(library):
    torch.set_num_threads(1)
    torch.ops.load_library(library)
