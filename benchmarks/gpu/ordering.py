"""Checks that copies wait for the model, with a model so slow that early copies would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.bench_dma import CASES, Transfers, finish
from kvtransfer.kernels import open_copy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.worker.copier import Copier

_SLOW_CYCLES = 20_000_000
ROUNDS, CHUNKS, CONTROL = 5, 4, 99


def failures(device: torch.device) -> Iterator[str]:
    """Return the names of the copies that did not wait."""
    it = Transfers(CASES[0], device, CHUNKS)
    lanes = it.lanes(open_copy(it.caches.planes))
    if _saved_after_written(it, it.copier(lanes["staged"]), CONTROL, waits=False):
        yield "a save that waits for nothing was not noticed: this check is none"
    for name, lane in lanes.items():
        copier = it.copier(lane)
        for value in range(1, ROUNDS + 1):
            if not _saved_after_written(it, copier, value):
                yield f"a {name} save did not wait for the model"
            if not _loaded_after_read(it, copier, value):
                yield f"a {name} load did not wait for the model"


def _saved_after_written(it: Transfers, copier: Copier, value: int, *, waits: bool = True) -> bool:
    """The model writes late; whether that is what went out."""
    torch.cuda._sleep(_SLOW_CYCLES)
    for plane in it.caches.planes:
        plane.fill_(value)
    after = [it.device.compute_event()] if waits else []
    finish([copier.to_host(blocks, slot, after) for slot, blocks in enumerate(it.blocks)])
    return all(
        _is_all(it.pool.sections(slot)[0].to(it.caches.planes[0].device), value)
        for slot in range(CHUNKS)
    )


def _loaded_after_read(it: Transfers, copier: Copier, value: int) -> bool:
    """The model reads late; the chunks that come in hold something else."""
    for slot in range(CHUNKS):
        it.pool.sections(slot)[0].fill_(-value)
    torch.cuda._sleep(_SLOW_CYCLES)
    read = [plane.clone() for plane in it.caches.planes]
    finish(it.begin_load(copier))
    loaded = [plane[it.blocks[0]] for plane in it.caches.planes]
    return all(_is_all(plane, value) for plane in read) and all(
        _is_all(plane, -value) for plane in loaded
    )


def _is_all(tensor: torch.Tensor, value: int) -> bool:
    return bool((tensor == value).all())
