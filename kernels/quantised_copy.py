"""The interface of a copy between blocks and encoded chunks, and the choice of its implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .shared_work import ALONE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .quantised_layout import QuantisedLayout
    from .shared_work import Helpers


class QuantisedCopy(Protocol):
    """Encodes blocks of one set of planes as chunks, and decodes chunks into blocks.

    An encoded chunk is ``[layout.nbytes]`` of uint8, contiguous, aligned to 16 bytes.
    """

    planes: Sequence[Tensor]
    """``[blocks, block_tokens, heads, dim]`` each; they stay the caller's and must outlive this."""

    def gather_blocks(self, block_ids: Sequence[int], encoded: Tensor) -> None:
        """See :func:`.quantised_reference.gather_quantised`."""
        ...

    def scatter_blocks(
        self, encoded: Tensor, block_ids: Sequence[int], first_token: int = 0
    ) -> None:
        """See :func:`.quantised_reference.scatter_quantised`."""
        ...


def open_quantised(
    planes: Sequence[Tensor],
    layout: QuantisedLayout,
    programs: int | None = None,
    helpers: Helpers = ALONE,
) -> QuantisedCopy:
    """Return the fastest copy for where ``planes`` are: Triton's on a GPU, NumPy's in host memory.

    In host memory a call returns when the copy is over. On a GPU it launches the copy on the current
    stream and returns: until the stream has passed it, what it reads must not be written, and what
    it writes must be neither read nor written.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, all alike, of fp32, fp16 or bf16, layer
            by layer. In host memory any strides serve, of transposed or packed pages, too; on a GPU
            the elements of a head must touch.
        layout: how chunks are encoded.
        programs: how many programs a kernel runs, each on a multiprocessor; None: the default.
        helpers: threads that take part in scatters in host memory; the caller closes them.

    Raises:
        ValueError: the planes are not alike, no kernel can read their strides, their numbers can't
            be quantised (fp8 and integers), or ``layout`` is not of them.
    """
    if planes and planes[0].device.type == "cpu":
        from .host_quantised import HostQuantised

        return HostQuantised(planes, layout, helpers)
    from .paged_quantised import PROGRAMS, PagedQuantised

    return PagedQuantised(planes, layout, programs or PROGRAMS)
