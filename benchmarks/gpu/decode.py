"""Measures decode steps during copies: a CUDA graph of an 8B model's matrix products."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from statistics import quantiles
from typing import TYPE_CHECKING

import torch

from benchmarks.bench_dma import CASES, Transfers
from benchmarks.measure import Row
from kvtransfer.kernels import open_copy

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH, WIDTH, LAYERS = 16, 4096, 32
OUTPUTS = {"qkv": 6144, "out": 4096, "gate and up": 28672, "down": 4096}
STEPS, ROUNDS, CHUNKS = 200, 4, 8
STAGED_SAVES, TRICKLED_SAVES = "beside staged saves", "beside trickled saves"
STAGED_LOADS = "beside staged loads"


def measure(device: torch.device) -> list[Row]:
    """p50 and p99 of a step alone, beside plain large copies and beside ours, in turns."""
    step = graph(device)
    it = Transfers(CASES[0], device, CHUNKS)
    lanes = it.lanes(open_copy(it.caches.planes))
    staged, trickle = it.copier(lanes["staged"]), it.copier(lanes["trickle"])
    works = {
        "beside plain saves": it.save_whole,
        STAGED_SAVES: partial(it.save, staged),
        TRICKLED_SAVES: partial(it.save, trickle),
        "beside plain loads": it.load_whole,
        STAGED_LOADS: partial(it.load, staged),
    }
    timed(step)
    seconds: dict[str, list[float]] = {name: [] for name in ("alone", *works)}
    for _ in range(ROUNDS):
        seconds["alone"] += timed(step)
        for name, work in works.items():
            with Busy(work):
                seconds[name] += timed(step)
    return [
        percentile(which, name, each, percent)
        for which, percent in (("p50", 50), ("p99", 99))
        for name, each in seconds.items()
    ]


def graph(device: torch.device) -> Callable[[], None]:
    """One step, as a graph; as many layers as half of the free memory holds."""
    sizes = [
        (4 * WIDTH - 2048 if name == "down" else WIDTH, outputs)
        for name, outputs in OUTPUTS.items()
    ]
    layer_bytes = sum(2 * rows * columns for rows, columns in sizes)
    layers = min(LAYERS, torch.cuda.mem_get_info(device)[0] // 2 // layer_bytes)
    weights = [
        [torch.randn(size, device=device, dtype=torch.bfloat16) for size in sizes]
        for _ in range(layers)
    ]
    inputs = {
        rows: torch.randn(BATCH, rows, device=device, dtype=torch.bfloat16) for rows, _ in sizes
    }

    def run() -> None:
        for layer in weights:
            for weight in layer:
                torch.mm(inputs[weight.shape[0]], weight)

    run()
    torch.cuda.synchronize(device)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        run()
    return captured.replay


def timed(step: Callable[[], None]) -> list[float]:
    """Seconds of each of ``STEPS`` steps, by the device's clock."""
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(STEPS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        step()
        mark.record()
        mark.synchronize()  # a decode step ends with its tokens on the host
    return [a.elapsed_time(b) / 1000 for a, b in itertools.pairwise(marks)]


def percentile(which: str, impl: str, seconds: list[float], percent: int) -> Row:
    """Make one row of a percentile."""
    cuts = quantiles(seconds, n=100)
    return Row("decode", which, impl, cuts[percent - 1], "s", (cuts[19], cuts[79]), len(seconds))


class Busy:
    """Does ``work`` over and over on a thread, from enter to exit."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self, work: Callable[[], object]) -> None:
        while not self._stop.is_set():
            work()
