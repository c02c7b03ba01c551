"""The one thing that a kernel does, whatever carries it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class BlockCopy(Protocol):
    """Copies between one set of planes and chunks: :mod:`.reference` says what, in one function."""

    planes: Sequence[Tensor]
    """``[blocks, block_tokens, heads, dim]`` each, borrowed."""

    def gather_blocks(self, block_ids: Sequence[int], chunk: Tensor, first_token: int = 0) -> None:
        """See :func:`.reference.gather_blocks`."""
        ...

    def scatter_blocks(self, chunk: Tensor, block_ids: Sequence[int], first_token: int = 0) -> None:
        """See :func:`.reference.scatter_blocks`."""
        ...


def open_copy(planes: Sequence[Tensor], programs: int | None = None) -> BlockCopy:
    """The fastest copy for where ``planes`` are: Triton on a GPU, NumPy in host memory.

    ``programs``: of the kernel, where there is one; at most so many multiprocessors.

    Raises:
        ValueError: the planes are not alike, or lie as no kernel of ours can read them.
    """
    if planes and planes[0].device.type == "cpu":
        from .host_copy import HostCopy

        return HostCopy(planes)
    from .paged_copy import PROGRAMS, PagedCopy

    return PagedCopy(planes, programs or PROGRAMS)
