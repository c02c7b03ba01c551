"""The interface of a scatter that moves keys to another position, and the choice of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from .rotation import Rotation
    from .token_move import TokenMove


class RotatedScatter(Protocol):
    """Copies ranges of chunks' tokens into one set of planes, and rotates the keys on the way."""

    planes: Sequence[Tensor]
    """``[blocks, block_tokens, heads, dim]`` each; they stay the caller's and must outlive this."""

    def scatter_tokens(self, chunk: Tensor, token_move: TokenMove) -> None:
        """See :func:`.rotation_reference.scatter_tokens`."""
        ...


def open_rotation(
    planes: Sequence[Tensor],
    rotation: Rotation,
    planes_a_layer: int,
    programs: int | None = None,
) -> RotatedScatter:
    """Return the fastest rotated scatter for where ``planes`` are.

    It reads tokens of a chunk, ``[planes, tokens, heads, dim]``, rotates its keys from the positions
    at which they were computed to others, and writes keys and values into blocks, beginning at any
    token of a block. In host memory a call returns when the copy is over. On a GPU it launches the
    copy on the current stream and returns: until the stream has passed it, the chunk must not be
    written, and the blocks' tokens must be neither read nor written.

    Args:
        planes: ``[blocks, block_tokens, heads, dim]`` each, all alike, of fp32, fp16 or bf16, layer
            by layer. In host memory any strides serve, of transposed or packed pages, too; on a GPU
            the elements of a head must touch.
        rotation: how the model rotates its keys; the table is on the device of the planes.
        planes_a_layer: 2: keys, which are rotated, before values, which are copied as they are; 1:
            content, such as the latent of MLA, of which ``rotation`` says what is rotated.
        programs: how many programs a kernel runs, each on a multiprocessor; None: the default.

    Raises:
        ValueError: the planes are not alike, no kernel can read their strides, their numbers can't
            be rotated (fp8 and 8-bit integers), or ``rotation`` doesn't fit them.
    """
    if planes and planes[0].device.type == "cpu":
        from .host_rotation import HostRotation

        return HostRotation(planes, rotation, planes_a_layer)
    from .paged_copy import PROGRAMS
    from .paged_rotation import PagedRotation

    return PagedRotation(planes, rotation, planes_a_layer, programs or PROGRAMS)
