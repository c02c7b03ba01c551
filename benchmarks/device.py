"""Reads the option ``--device`` of the benchmarks that copy between a device and host memory."""

from __future__ import annotations

from argparse import ArgumentTypeError

import torch


def usable_device(name: str) -> torch.device:
    """The device that ``name`` stands for.

    Raises:
        ArgumentTypeError: the benchmarks don't know it, or it is not in this machine.
    """
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise ArgumentTypeError(f"{name!r} is neither cpu nor cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ArgumentTypeError(
            f"{name} needs a CUDA device and a torch built for it; here is none"
        )
    return torch.device(name)
