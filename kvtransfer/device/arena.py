"""Host memory whose pages are mapped in once, so that no copy has to fault them in."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np
import torch

from kvtransfer.host_memory import HostMemory

if TYPE_CHECKING:
    from torch import Tensor

# Linux's MADV_POPULATE_WRITE, since 5.14: maps many pages in one call instead of one by one.
_POPULATE_WRITE = 23
# How much is taken between two looks at what is left: several workers may take memory at once.
_STEP_BYTES = 64 << 20


class Pages(mmap.mmap):
    """Zeroed pages of this process; unlike a plain ``mmap``, weak references can watch them."""

    @classmethod
    def of(cls, nbytes: int) -> Pages:
        """Map in ``nbytes``.

        Raises:
            OutOfMemoryError: there is less memory left; what was mapped has been given back.
        """
        pages = cls(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for start in range(0, nbytes, _STEP_BYTES):
            step_bytes = min(_STEP_BYTES, nbytes - start)
            HostMemory.read().require(step_bytes)
            pages.populate(start, step_bytes)
        return pages

    def populate(self, start: int, nbytes: int) -> None:
        """Map in ``nbytes`` from the byte ``start`` on."""
        try:
            self.madvise(_POPULATE_WRITE, start, nbytes)
        except OSError:  # an older kernel
            np.frombuffer(self, np.uint8, nbytes, start).fill(0)

    def tensor(self) -> Tensor:
        """Return the same memory as ``[nbytes]`` uint8; it lives as long as any view of it."""
        return torch.from_numpy(np.frombuffer(self, dtype=np.uint8))
