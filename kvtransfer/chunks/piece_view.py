"""Shows flat memory as the planes of a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat


def piece_view(form: ChunkFormat, memory: torch.Tensor) -> torch.Tensor:
    """Show each row of ``memory``, ``[rows, bytes]`` uint8, as a piece of the format ``form``.

    Returns:
        ``[rows, planes, tokens, heads, dim]`` of the piece's dtype; the same memory.
    """
    cells = memory[:, : form.nbytes].view(getattr(torch, form.dtype))
    return cells.view(len(memory), form.planes, *form.plane_shape)
