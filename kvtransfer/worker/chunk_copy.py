"""Opens the kernels between blocks and chunks: plain, or with numbers that are quantised on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.chunks.quantised import layout_of
from kvtransfer.kernels import ALONE, open_copy, open_quantised

if TYPE_CHECKING:
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.kernels import BlockCopy, Helpers, QuantisedCopy


def open_chunk_copy(
    caches: PagedCaches, programs: int | None = None, helpers: Helpers = ALONE
) -> BlockCopy | QuantisedCopy:
    """Return the copy between the planes of ``caches`` and chunks of their form.

    Args:
        caches: what is copied from and to.
        programs: how many programs a kernel runs, each on a multiprocessor; None: the default.
        helpers: threads that take part in loads in host memory; the caller closes them.

    Raises:
        ValueError: no kernel of ours can read the planes.
    """
    if caches.chunk.quantised:
        return open_quantised(caches.planes, layout_of(caches.chunk), programs, helpers)
    return open_copy(caches.planes, programs, helpers)
