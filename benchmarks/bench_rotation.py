"""Measures rotated scatters in host memory, beside a plain copy of the same bytes.

``python -m benchmarks.bench_rotation [--json FILE] [--rounds N] [--layers N]``: one thread moves one
chunk at a time into blocks that lie apart, from the begin of a block on or from within one.
``scatter`` copies the same blocks without a rotation, ``torch`` rotates with whole tensors and then
copies so. A figure counts the seconds of the CPU, as others may use it too.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_paged_copy import BLOCKS, CHUNK_TOKENS, LAYERS, Case
from benchmarks.measure import append_rows, interleaved, print_table, seconds_row
from kvtransfer.kernels import Rotation, TokenMove, open_copy, open_rotation
from kvtransfer.kernels.rotation_reference import rotated

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Row

POSITIONS, SOURCE, TARGET = 1024, 3, 77
WITHIN = 5
CASES = [
    Case("cpu-attention", 32, 3, 64, torch.float32),
    Case("cpu-attention", 128, 3, 64, torch.float32),
    Case("cpu-attention", 128, 8, 128, torch.bfloat16),
    Case("cpu-attention-amx", 32, 8, 128, torch.bfloat16),
    Case("LBNHC", 16, 3, 64, torch.float32),
    Case("LBNHD", 16, 8, 128, torch.bfloat16),
]


def works_of(
    case: Case, layers: int, block_token: int
) -> tuple[int, dict[str, Callable[[], object]]]:
    """Return a chunk's bytes, and all ways to move it to a block's token ``block_token``, by name."""
    cpu = torch.device("cpu")
    caches = case.caches(cpu, layers=layers)
    chunk, rotation = case.chunk(cpu, caches), rotation_of(case.dim)
    needed = -(-(block_token + CHUNK_TOKENS) // case.block_tokens)
    ids = random.Random(0).sample(range(BLOCKS), needed)
    move = TokenMove(0, CHUNK_TOKENS, ids, block_token, SOURCE, TARGET)
    copy, other = open_copy(caches.planes), torch.empty_like(chunk)
    whole = ids[: CHUNK_TOKENS // case.block_tokens]

    def by_torch() -> None:
        other.copy_(chunk)
        other[::2] = rotated(chunk[::2], move, rotation)
        copy.scatter_blocks(other, whole)

    ours = open_rotation(caches.planes, rotation, 2)
    return chunk.nbytes, {
        "kvtransfer": partial(ours.scatter_tokens, chunk, move),
        "torch": by_torch,
        "scatter": partial(copy.scatter_blocks, chunk, whole),
        "memcpy": partial(other.copy_, chunk),
    }


def rotation_of(dim):
    """A rotary table of as many elements as a head has."""
    angles = torch.arange(POSITIONS)[:, None] / 10 ** torch.linspace(0, 3, dim // 2)
    return Rotation(torch.cat([angles.cos(), angles.sin()], dim=-1), "neox")


def measure(case: Case, rounds: int, layers: int) -> list[Row]:
    """Both offsets of one case, each beside its baselines."""
    rows = []
    for name, block_token in (("block", 0), ("within", WITHIN)):
        nbytes, works = works_of(case, layers, block_token)
        rows += [
            seconds_row(
                "rotation", f"{name}/{case.name}", impl, [sample.cpu_s for sample in taken], nbytes
            )
            for impl, taken in interleaved(works, rounds).items()
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the made-up model")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for case in CASES for row in measure(case, options.rounds, options.layers)]
    print_table(rows, baseline="memcpy")
    if options.json:
        append_rows(options.json, rows)


if __name__ == "__main__":
    main()
