"""Every way to copy blocks, so that one suite proves them all against the definition."""

from __future__ import annotations

from triton.runtime.interpreter import InterpretedFunction

from kvtransfer.kernels import paged_copy, reference
from kvtransfer.kernels.host_copy import HostCopy
from kvtransfer.kernels.paged_copy import PagedCopy

# The interpreter takes as long for a large tile as for a small one.
INTERPRETED_TILE_WORDS = 1 << 14
INTERPRETED = InterpretedFunction(paged_copy.copy_blocks.fn)


class ReferenceCopy:
    def __init__(self, planes):
        self.planes = planes

    def gather_blocks(self, block_ids, chunk, first_token=0):
        reference.gather_blocks(self.planes, block_ids, chunk, first_token)

    def scatter_blocks(self, chunk, block_ids, first_token=0):
        reference.scatter_blocks(chunk, self.planes, block_ids, first_token)


def interpreted_copy(planes):
    """The Triton kernel; on CPU tensors under the fixture ``interpreted``."""
    return PagedCopy(planes, programs=2, tile_words=INTERPRETED_TILE_WORDS)


ON_HOST = [HostCopy, ReferenceCopy]
ALL = [*ON_HOST, interpreted_copy]
