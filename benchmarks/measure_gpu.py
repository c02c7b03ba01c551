"""Measures seconds by the GPU's clock, of work that was queued before it begins."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from benchmarks.measure import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

# About ten milliseconds: longer than any work here takes to launch.
_HEAD_START_CYCLES = 20_000_000


def measured_by_gpu(work: Callable[[], object]) -> Sample:
    """What ``work`` launches on the current stream, begun when all of it is launched."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda._sleep(_HEAD_START_CYCLES)
    begin.record()
    began_s = time.thread_time()
    work()
    launched_s = time.thread_time() - began_s
    end.record()
    end.synchronize()
    return Sample(begin.elapsed_time(end) / 1000, launched_s)
