"""Measures from which size on one copy path is faster than another on this card."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_dma import CASES, Transfers
from benchmarks.bench_paged_copy import Case
from benchmarks.gpu.decode import STAGED_SAVES, TRICKLED_SAVES
from benchmarks.measure import interleaved
from kvtransfer.kernels import open_copy
from kvtransfer.worker.copy_path import Calibration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Row

ROUNDS, CHUNKS = 5, 4
BLOCK_TOKENS = (8, 16, 32, 64, 128, 256)
"""Of pages of 2 KiB a token, 16 to 512 KiB."""
PROGRAMS = (2, 4, 8)
"""More would take multiprocessors from the model for a gain that the bus does not show."""
TINY_BLOCKS = (1, 2, 4)
"""Of sixteen: a whole chunk is seldom alone, and staging carries the next meanwhile."""
NEVER_BYTES = 1 << 40
GOOD_ENOUGH = 1.01


def calibrate(device: torch.device, decoded: Sequence[Row]) -> Calibration:
    """All thresholds, on the layouts that they depend on; ``decoded``: what decoding suffered."""
    return Calibration(
        pages_from_bytes=least_from(_page_times(device)),
        direct_up_to_bytes=most_up_to(_tiny_times(device)),
        programs=fewest(_program_times(device)),
        trickle_programs=trickle_programs(decoded),
    )


def recorded(text: str, device_name: str, calibration: Calibration) -> str:
    """``text``, which is that of ``calibrations.json``, with ``calibration`` for ``device_name``."""
    return json.dumps({**json.loads(text), device_name: asdict(calibration)}, indent=2) + "\n"


def trickle_programs(decoded: Sequence[Row]) -> int:
    """One where decode steps suffer less from it than from staging, else none."""
    p99 = {row.impl: row.value for row in decoded if row.case == "p99"}
    return int(p99[TRICKLED_SAVES] < p99[STAGED_SAVES])


def least_from(times: Mapping[int, tuple[float, float]]) -> int:
    """The least size from which on the second is always the faster; by size, ascending."""
    best = NEVER_BYTES
    for size, (first, second) in reversed(times.items()):
        if second >= first:
            break
        best = size
    return best


def most_up_to(times: Mapping[int, tuple[float, float]]) -> int:
    """The largest size up to which the first is always the faster; by size, ascending."""
    best = 0
    for size, (first, second) in times.items():
        if first >= second:
            break
        best = size
    return best


def fewest(times: Mapping[int, float]) -> int:
    """Return the fewest programs that are good enough."""
    return min(n for n, seconds in times.items() if seconds <= GOOD_ENOUGH * min(times.values()))


def _page_times(device: torch.device) -> dict[int, tuple[float, float]]:
    """By bytes of a page: staged, by pages."""
    times = {}
    for block_tokens in BLOCK_TOKENS:
        it = Transfers(Case("LBNHD", block_tokens, 8, 128, torch.bfloat16), device, CHUNKS)
        lanes = it.lanes(open_copy(it.caches.planes))
        there_and_back = {
            name: partial(_there_and_back, it, it.copier(lanes[name]))
            for name in ("staged", "pages")
        }
        times[it.caches.page_bytes] = _medians(there_and_back)
    return times


def _tiny_times(device: torch.device) -> dict[int, tuple[float, float]]:
    """By bytes in all: loaded directly, staged."""
    it = Transfers(CASES[0], device, 1)
    lanes = it.lanes(open_copy(it.caches.planes))
    times = {}
    for count in TINY_BLOCKS:
        blocks = it.blocks[0][-count:]
        first_token = it.caches.chunk.tokens - count * it.caches.block_tokens
        loads = {
            name: partial(_load_some, it.copier(lanes[name]), blocks, first_token)
            for name in ("direct", "staged")
        }
        times[count * it.caches.block_bytes] = _medians(loads)
    return times


def _program_times(device: torch.device) -> dict[int, float]:
    """By programs of the kernel: staged, there and back."""
    it = Transfers(CASES[0], device, CHUNKS)
    works = {}
    for programs in PROGRAMS:
        lane = it.lanes(open_copy(it.caches.planes, programs))["staged"]
        works[str(programs)] = partial(_there_and_back, it, it.copier(lane))
    return {int(n): seconds for n, seconds in zip(works, _medians(works), strict=True)}


def _there_and_back(it: Transfers, copier: object) -> None:
    it.save(copier)
    it.load(copier)


def _load_some(copier: object, blocks: list[int], first_token: int) -> None:
    copier.to_device(0, blocks, first_token, [], []).wait()


def _medians(works: Mapping[str, object]) -> tuple[float, ...]:
    samples = interleaved(works, ROUNDS).values()
    return tuple(median(sample.wall_s for sample in each) for each in samples)
