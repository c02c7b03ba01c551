"""Whole blocks to and from a chunk, beside a plain copy of the same bytes.

``python -m benchmarks.bench_paged_copy [--json FILE] [--rounds N]``: the CPU path, one thread.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.measure import append_rows, interleaved, print_table, rate_row
from kvtransfer.kernels import open_copy
from kvtransfer.paged import PagedCaches

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Row

CHUNK_TOKENS, LAYERS, BLOCKS = 256, 30, 64


@dataclass(frozen=True)
class Case:
    layout: str
    block_tokens: int
    heads: int
    dim: int
    dtype: torch.dtype

    @property
    def name(self):
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.layout}/block{self.block_tokens}/{self.heads}x{self.dim}/{dtype}"

    def caches(self):
        sizes = (LAYERS, BLOCKS, self.heads, self.block_tokens, 2 * self.dim)
        if self.layout == "cpu-attention":
            return PagedCaches.cpu_attention(list(self._random(*sizes)), CHUNK_TOKENS)
        if self.layout == "LBNHC":
            sizes = (*sizes[:2], self.block_tokens, self.heads, 2 * self.dim)
            layers = self._random(*sizes).transpose(2, 3)
        else:
            layers = self._random(*sizes)
        return PagedCaches.split(list(layers), CHUNK_TOKENS)

    def _random(self, *sizes):
        return torch.randn(sizes).to(self.dtype)


CASES = [
    Case("cpu-attention", 32, 3, 64, torch.float32),
    Case("cpu-attention", 128, 3, 64, torch.float32),
    Case("cpu-attention", 32, 8, 64, torch.bfloat16),
    Case("LBNHC", 16, 3, 64, torch.float32),
    Case("LBNHC", 16, 8, 128, torch.bfloat16),
    Case("LBHNC", 16, 8, 128, torch.bfloat16),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for case in CASES for row in measure(case, options.rounds)]
    print_table(rows, baseline="memcpy")
    if options.json:
        append_rows(options.json, rows)


def measure(case: Case, rounds: int) -> list[Row]:
    """Both directions of one case, each beside its baselines."""
    caches = case.caches()
    shape = (caches.chunk.planes, *caches.chunk.plane_shape)
    chunk, other = (torch.randn(shape).to(case.dtype) for _ in range(2))
    count = CHUNK_TOKENS // case.block_tokens
    block_ids = random.Random(0).sample(range(BLOCKS), count)
    rows = []
    for direction, copies in (
        ("gather", _gathers(caches, block_ids, chunk)),
        ("scatter", _scatters(caches, block_ids, chunk)),
    ):
        works = {**copies, "memcpy": lambda: other.copy_(chunk)}
        for impl, samples in interleaved(works, rounds).items():
            name = f"{direction}/{case.name}"
            rows.append(rate_row("paged_copy", name, impl, samples, caches.chunk.nbytes))
    return rows


def _gathers(
    caches: PagedCaches, block_ids: list[int], chunk: torch.Tensor
) -> dict[str, Callable[[], object]]:
    ids = torch.tensor(block_ids)

    def index() -> None:
        for rows, plane in zip(chunk, caches.planes, strict=True):
            rows.copy_(plane[ids].reshape(rows.shape))

    return {
        "kvtransfer": lambda: open_copy(caches.planes).gather_blocks(block_ids, chunk),
        "torch-index": index,
    }


def _scatters(
    caches: PagedCaches, block_ids: list[int], chunk: torch.Tensor
) -> dict[str, Callable[[], object]]:
    ids = torch.tensor(block_ids)

    def index() -> None:
        for rows, plane in zip(chunk, caches.planes, strict=True):
            plane[ids] = rows.view(len(ids), *plane.shape[1:])

    return {
        "kvtransfer": lambda: open_copy(caches.planes).scatter_blocks(chunk, block_ids),
        "torch-index": index,
    }


if __name__ == "__main__":
    main()
