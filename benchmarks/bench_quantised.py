"""Measures blocks encoded as chunks of 8, 5 or 4 bits a number, and decoded, beside plain copies.

``python -m benchmarks.bench_quantised [--device cuda] [--json FILE] [--rounds N] [--layers N]``: on
the CPU one thread and one chunk at a time, on a GPU the kernels alone, several launches of a chunk
each. A figure counts the bytes of the blocks, whatever becomes of them; ``copy`` copies the blocks as
they are, and ``memcpy`` as many bytes in one piece.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_paged_copy import CHUNK_TOKENS, Case, Copies, Setting, run
from benchmarks.measure import interleaved, rate_row
from kvtransfer.kernels import Helpers, QuantisedLayout, open_copy, open_quantised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from benchmarks.measure import Row
    from kvtransfer.kernels import QuantisedCopy

CASES = [
    Case("cpu-attention", 32, 3, 64, torch.float32),
    Case("cpu-attention", 128, 8, 64, torch.bfloat16),
    Case("cpu-attention-amx", 32, 8, 64, torch.bfloat16),
    Case("LBNHC", 16, 8, 128, torch.bfloat16),
    Case("LBNHC", 16, 1, 128, torch.bfloat16),
    Case("MLA", 64, 1, 576, torch.bfloat16),
]
CODECS = {"int8": (8, 0), "int5": (5, 0), "int4": (4, 1)}
"""Bits, and tokens that are kept as they are, by name."""
ROTARY_DIMS = 64


def layout_of(case: Case, copies: Copies, bits: int, exact_tokens: int) -> QuantisedLayout:
    """How the chunks of ``copies`` are encoded; of MLA, the rotary part is kept as it is."""
    kinds, exact_dims = (1, ROTARY_DIMS) if case.layout == "MLA" else (2, 0)
    planes, width = len(copies.caches.planes), case.dtype.itemsize
    sizes = (planes, kinds, CHUNK_TOKENS, case.heads, case.dim, width)
    return QuantisedLayout(bits, *sizes, exact_tokens, exact_dims)


def _copies(
    planes: Sequence[Tensor], layout: QuantisedLayout, device: torch.device
) -> dict[str, QuantisedCopy]:
    """Ours by name, as of :meth:`benchmarks.bench_paged_copy.Setting.copies`."""
    ours = {"kvtransfer": open_quantised(planes, layout)}
    if device.type == "cpu":
        return {**ours, "kvtransfer-helped": open_quantised(planes, layout, helpers=Helpers(1))}
    everything = torch.cuda.get_device_properties(device).multi_processor_count
    return {**ours, f"kvtransfer-{everything}": open_quantised(planes, layout, everything)}


def works_of(
    case: Case, copies: Copies, setting: Setting, layout: QuantisedLayout
) -> dict[str, dict[str, Callable[[], object]]]:
    """Every way to gather and to scatter the chunks of ``copies``, by direction and name."""
    count = len(copies.block_ids)
    chunks = [
        torch.zeros(layout.nbytes, dtype=torch.uint8, device=setting.device) for _ in range(count)
    ]

    def encode(copy):
        for block_ids, chunk in zip(copies.block_ids, chunks, strict=True):
            copy.gather_blocks(block_ids, chunk)

    def decode(copy):
        for block_ids, chunk in zip(copies.block_ids, chunks, strict=True):
            copy.scatter_blocks(chunk, block_ids)

    ours = _copies(copies.caches.planes, layout, setting.device)
    plain = open_copy(copies.caches.planes)
    return {
        "encode": {name: partial(encode, copy) for name, copy in ours.items()}
        | {"copy": partial(copies.gather, plain), "memcpy": copies.memcpy},
        "decode": {name: partial(decode, copy) for name, copy in ours.items()}
        | {"copy": partial(copies.scatter, plain), "memcpy": copies.memcpy},
    }


def measure(case: Case, setting: Setting) -> list[Row]:
    """Every codec of one case in both directions, each beside its baselines."""
    copies = Copies(case, setting)
    rows = []
    for codec, (bits, exact_tokens) in CODECS.items():
        layout = layout_of(case, copies, bits, exact_tokens)
        for direction, works in works_of(case, copies, setting, layout).items():
            name = f"{direction}/{codec}/{case.name}"
            rows += [
                rate_row("quantised", name, impl, samples, copies.nbytes)
                for impl, samples in interleaved(works, setting.rounds, setting.measured).items()
            ]
    return rows


def cases(device: torch.device) -> list[Case]:
    """Those that there are on ``device``."""
    on_cpu = device.type == "cpu"
    return [case for case in CASES if on_cpu or not case.layout.startswith("cpu-attention")]


if __name__ == "__main__":
    run(__doc__, cases, measure)
