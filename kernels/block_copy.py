"""The interface of a copy between blocks and chunks, and the choice of its implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .shared_work import ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .shared_work import Helpers


class BlockCopy(Protocol):
    """Copies between one set of planes and any number of chunks.

    A chunk is ``[planes, tokens, heads, dim]``, contiguous, of the planes' dtype.
    """

    planes: Sequence[Tensor]
    """``[blocks, block_tokens, heads, dim]`` each; they stay the caller's and must outlive this."""

    def gather_blocks(self, block_ids: Sequence[int], chunk: Tensor, first_token: int = 0) -> None:
        """See :func:`.reference.gather_blocks`."""
        ...

    def scatter_blocks(self, chunk: Tensor, block_ids: Sequence[int], first_token: int = 0) -> None:
        """See :func:`.reference.scatter_blocks`."""
        ...


def open_copy(
    planes: Sequence[Tensor], programs: int | None = None, helpers: Helpers = ALONE
) -> BlockCopy:
    """Return the fastest copy for where ``planes`` are: Triton's on a GPU, NumPy's in host memory.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, alike.
        programs: how many programs a kernel runs, each on a multiprocessor; None: the default.
        helpers: threads that take part in copies in host memory; the caller closes them.

    Raises:
        ValueError: the planes are not alike, or no kernel can read their strides.
    """
    if planes and planes[0].device.type == "cpu":
        from .host_copy import HostCopy

        return HostCopy(planes, helpers)
    from .paged_copy import PROGRAMS, PagedCopy

    return PagedCopy(planes, programs or PROGRAMS)
