"""One large piece of host memory, touched once so that no copy faults its pages in."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np
import torch

from kvtransfer.host_memory import HostMemory

if TYPE_CHECKING:
    from torch import Tensor

# Linux's madvise of 5.14: pages at once, in the kernel, instead of one by one.
_POPULATE_WRITE = 23
# Between two looks at what is left: several workers may take theirs at once.
_STEP_BYTES = 64 << 20


class Pages(mmap.mmap):
    """Zeroed pages of this process that weak references can watch."""

    @classmethod
    def of(cls, nbytes: int) -> Pages:
        """``nbytes`` of them, mapped in.

        Raises:
            OutOfMemoryError: they aren't there; those that were have been given back.
        """
        pages = cls(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for start in range(0, nbytes, _STEP_BYTES):
            step_bytes = min(_STEP_BYTES, nbytes - start)
            HostMemory.read().require(step_bytes)
            pages.populate(start, step_bytes)
        return pages

    def populate(self, start: int, nbytes: int) -> None:
        """Map in ``nbytes`` from ``start`` on."""
        try:
            self.madvise(_POPULATE_WRITE, start, nbytes)
        except OSError:  # an older kernel
            np.frombuffer(self, np.uint8, nbytes, start).fill(0)

    def tensor(self) -> Tensor:
        """``[nbytes]`` uint8, the same memory, which lives as long as any view of it."""
        return torch.from_numpy(np.frombuffer(self, dtype=np.uint8))
