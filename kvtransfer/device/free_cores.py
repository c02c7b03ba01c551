"""Counts the cores that the engine's own threads leave free."""

from __future__ import annotations

import os

import torch

# One core's copies take a good part of what memory gives.
_MOST = 3


def free_cores() -> int:
    """Return how many threads may help to copy: cores that this thread may use and torch doesn't.

    A process whose threads are bound to cores, as vLLM binds them, has none.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min((usable or 1) - torch.get_num_threads(), _MOST))
