"""Measures copies of whole blocks to and from chunks, beside a plain copy of the same bytes.

``python -m benchmarks.bench_paged_copy [--device cuda] [--json FILE] [--rounds N] [--layers N]``: on
the CPU one thread and one chunk at a time, on a GPU the kernel alone, several launches of a chunk
each.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.device import usable_device
from benchmarks.measure import append_rows, interleaved, measured, print_table, rate_row
from benchmarks.measure_gpu import measured_by_gpu
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.kernels import Helpers, open_copy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from benchmarks.measure import Row, Sample
    from kvtransfer.kernels import BlockCopy

CHUNK_TOKENS, LAYERS, BLOCKS = 256, 30, 64


@dataclass(frozen=True)
class Case:
    layout: str
    """One of vLLM's orders of the dimensions; ``LBNHD``: keys and values apart."""
    block_tokens: int
    heads: int
    dim: int
    dtype: torch.dtype

    @property
    def name(self):
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.layout}/block{self.block_tokens}/{self.heads}x{self.dim}/{dtype}"

    def caches(self, device, blocks=BLOCKS, layers=LAYERS):
        """Paged caches of random bytes."""
        first = (layers, blocks)
        tokens, heads, cell = self.block_tokens, self.heads, 2 * self.dim
        if self.layout == "cpu-attention":
            memory = self._random(device, *first, heads, tokens, cell)
            return PagedCaches.cpu_attention(list(memory), CHUNK_TOKENS)
        if self.layout == "cpu-attention-amx":
            memory = self._random(device, *first, heads, tokens, cell)
            return PagedCaches.cpu_attention_amx(list(memory), CHUNK_TOKENS)
        if self.layout == "MLA":
            memory = self._random(device, *first, heads, tokens, self.dim)
            return PagedCaches.content(list(memory), CHUNK_TOKENS)
        if self.layout == "LBNHD":
            keys, values = self._random(device, 2, *first, tokens, heads, self.dim)
            return PagedCaches.keys_and_values(list(keys), list(values), CHUNK_TOKENS)
        if self.layout == "LBNHC":
            memory = self._random(device, *first, tokens, heads, cell).transpose(2, 3)
        else:
            memory = self._random(device, *first, heads, tokens, cell)
        return PagedCaches.split(list(memory), CHUNK_TOKENS)

    def chunk(self, device, caches):
        """``[planes, tokens, heads, dim]`` of random bytes."""
        return self._random(device, caches.chunk.planes, *caches.chunk.plane_shape)

    def _random(self, device, *sizes):
        return torch.randint(0, 100, sizes, dtype=torch.uint8, device=device).to(self.dtype)


CASES = [
    Case("cpu-attention", 32, 3, 64, torch.float32),
    Case("cpu-attention", 128, 3, 64, torch.float32),
    Case("cpu-attention", 32, 8, 64, torch.bfloat16),
    Case("cpu-attention-amx", 32, 8, 64, torch.bfloat16),
    Case("LBNHC", 16, 3, 64, torch.float32),
    Case("LBNHC", 16, 8, 128, torch.bfloat16),
    Case("LBHNC", 16, 8, 128, torch.bfloat16),
    Case("LBNHD", 16, 8, 128, torch.bfloat16),
    Case("MLA", 64, 1, 576, torch.bfloat16),
]


@dataclass(frozen=True)
class Setting:
    """Where to copy, how much at once, how often."""

    device: torch.device
    chunks: int
    rounds: int
    layers: int = LAYERS

    def copies(self, planes: Sequence[Tensor]) -> dict[str, BlockCopy]:
        """Ours by name: by default; on a GPU with a program on every multiprocessor, in host memory
        with one thread that helps with scatters."""
        ours = {"kvtransfer": open_copy(planes)}
        if self.device.type == "cpu":
            return {**ours, "kvtransfer-helped": open_copy(planes, helpers=Helpers(1))}
        everything = torch.cuda.get_device_properties(self.device).multi_processor_count
        return {**ours, f"kvtransfer-{everything}": open_copy(planes, everything)}

    @property
    def measured(self) -> Callable[[Callable[[], object]], Sample]:
        """How a repetition is timed: here, or by the GPU, which does not count our launching."""
        return measured if self.device.type == "cpu" else measured_by_gpu


class Copies:
    """Several chunks, their blocks, and every way to copy between them."""

    def __init__(self, case: Case, setting: Setting) -> None:
        count = CHUNK_TOKENS // case.block_tokens
        blocks = max(BLOCKS, 2 * count * setting.chunks)
        self.caches = case.caches(setting.device, blocks, setting.layers)
        self.nbytes = self.caches.chunk.nbytes * setting.chunks
        ids = random.Random(0).sample(range(blocks), count * setting.chunks)
        chunks = range(setting.chunks)
        self.block_ids = [ids[i * count : (i + 1) * count] for i in chunks]
        self.chunks = [case.chunk(setting.device, self.caches) for _ in chunks]
        self.others = [case.chunk(setting.device, self.caches) for _ in chunks]
        self.indices = [torch.tensor(ids, device=setting.device) for ids in self.block_ids]

    def gather(self, copy):
        for block_ids, chunk in zip(self.block_ids, self.chunks, strict=True):
            copy.gather_blocks(block_ids, chunk)

    def scatter(self, copy):
        for block_ids, chunk in zip(self.block_ids, self.chunks, strict=True):
            copy.scatter_blocks(chunk, block_ids)

    def gather_by_index(self):
        for chunk, ids in zip(self.chunks, self.indices, strict=True):
            for rows, plane in zip(chunk, self.caches.planes, strict=True):
                rows.copy_(plane[ids].reshape(rows.shape))

    def scatter_by_index(self):
        for chunk, ids in zip(self.chunks, self.indices, strict=True):
            for rows, plane in zip(chunk, self.caches.planes, strict=True):
                plane[ids] = rows.view(len(ids), *plane.shape[1:])

    def memcpy(self):
        for chunk, other in zip(self.chunks, self.others, strict=True):
            other.copy_(chunk)


def measure(case: Case, setting: Setting) -> list[Row]:
    """Both directions of one case, each beside its baselines."""
    copies = Copies(case, setting)
    ours = setting.copies(copies.caches.planes)
    gathers = {name: partial(copies.gather, copy) for name, copy in ours.items()}
    scatters = {name: partial(copies.scatter, copy) for name, copy in ours.items()}
    works = {
        "gather": gathers | {"torch-index": copies.gather_by_index, "memcpy": copies.memcpy},
        "scatter": scatters | {"torch-index": copies.scatter_by_index, "memcpy": copies.memcpy},
    }
    return [
        rate_row("paged_copy", f"{direction}/{case.name}", impl, samples, copies.nbytes)
        for direction, impls in works.items()
        for impl, samples in interleaved(impls, setting.rounds, setting.measured).items()
    ]


def run(
    description: str,
    cases: Callable[[torch.device], list[Case]],
    measure: Callable[[Case, Setting], list[Row]],
) -> None:
    """Measure all cases as the command line says, print the rows, and append them to its file."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--device", type=usable_device, default="cpu")
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the made-up model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chunks = 1 if options.device.type == "cpu" else 8
    setting = Setting(options.device, chunks, options.rounds, options.layers)
    rows = [row for case in cases(options.device) for row in measure(case, setting)]
    print_table(rows, baseline="memcpy")
    if options.json:
        append_rows(options.json, rows)


def cases(device: torch.device) -> list[Case]:
    """Those that there are on ``device``."""
    on_cpu = device.type == "cpu"
    return [case for case in CASES if on_cpu or not case.layout.startswith("cpu-attention")]


if __name__ == "__main__":
    run(__doc__, cases, measure)
