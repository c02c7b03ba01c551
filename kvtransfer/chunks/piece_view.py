"""Shows flat memory as the planes of a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat


def piece_views(form: ChunkFormat, memory: torch.Tensor) -> list[torch.Tensor]:
    """Show each row of ``memory``, ``[rows, bytes]`` uint8, as the sections of a piece.

    Returns:
        ``[rows, planes, tokens, heads, dim]`` of each section's dtype, one tensor a section; a
        piece whose pages are of one kind is one section. ``[rows, bytes]`` where its numbers are
        quantised. The same memory.
    """
    views, start = [], 0
    for section in form.sections or (form,):
        views.append(_viewed(section, memory[:, start : start + section.nbytes]))
        start += section.nbytes
    return views


def _viewed(section: ChunkFormat, memory: torch.Tensor) -> torch.Tensor:
    if section.quantised:
        return memory
    cells = memory.view(getattr(torch, section.dtype))
    return cells.view(len(memory), section.planes, *section.plane_shape)
