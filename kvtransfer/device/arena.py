"""One large piece of host memory, touched once so that no copy faults its pages in."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

# Linux's: all pages at once, in the kernel, instead of one by one.
_POPULATE = getattr(mmap, "MAP_POPULATE", 0)


class Pages(mmap.mmap):
    """Zeroed pages of this process that weak references can watch."""

    @classmethod
    def of(cls, nbytes: int) -> Pages:
        """``nbytes`` of them, mapped in."""
        return cls(-1, nbytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _POPULATE)

    def tensor(self) -> Tensor:
        """``[nbytes]`` uint8, the same memory, which lives as long as any view of it."""
        return torch.from_numpy(np.frombuffer(self, dtype=np.uint8))
