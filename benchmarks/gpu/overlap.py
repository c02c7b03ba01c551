"""Measures loads, saves and the model at once, beside the longest of them alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_dma import CASES, Transfers
from benchmarks.measure import interleaved, rate_row, seconds_row
from kvtransfer.kernels import open_copy

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Row

CHUNKS, ROUNDS = 12, 7


def measure(device: torch.device) -> list[Row]:
    """Both directions at once beside two large copies at once; then with the model beside them."""
    saved, loaded = (Transfers(CASES[0], device, CHUNKS) for _ in range(2))
    saver, loader = (
        it.copier(it.lanes(open_copy(it.caches.planes))["staged"]) for it in (saved, loaded)
    )
    save, load = partial(saved.begin_save, saver), partial(loaded.begin_load, loader)
    compute = Compute(device)
    works: dict[str, Callable[[], None]] = {
        "both ways": partial(_together, save, load),
        "big copies both ways": partial(_together, saved.begin_save_whole, loaded.begin_load_whole),
    }
    moved = saved.nbytes + loaded.nbytes
    rows = [
        rate_row("overlap", "both ways", name, samples, moved)
        for name, samples in interleaved(works, ROUNDS).items()
    ]
    alone = {
        "save": partial(_together, save),
        "load": partial(_together, load),
        "compute": partial(_together, compute.begin),
        "all at once": partial(_together, save, load, compute.begin),
    }
    return rows + [
        seconds_row("overlap", "save + load + compute", name, [sample.wall_s for sample in samples])
        for name, samples in interleaved(alone, ROUNDS).items()
    ]


class Compute:
    """Matrix products, about as long as the transfers."""

    def __init__(self, device: torch.device) -> None:
        self._left, self._right = (
            torch.randn(4096, 4096, device=device, dtype=torch.bfloat16) for _ in range(2)
        )

    def begin(self):
        """Launch them."""
        for _ in range(64):
            torch.mm(self._left, self._right)
        return [torch.cuda.current_stream().record_event()]


def _together(*begin: Callable[[], list]) -> None:
    torch.cuda.synchronize()
    for event in [event for start in begin for event in start()]:
        event.synchronize() if isinstance(event, torch.cuda.Event) else event.wait()
