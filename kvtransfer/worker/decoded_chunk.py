"""Room for one chunk whose quantised numbers are decoded before its keys are rotated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kvtransfer.chunks.quantised import layout_of
from kvtransfer.device.work import DecodedScatter, ScatterTokens
from kvtransfer.kernels import open_quantised

if TYPE_CHECKING:
    from torch import Tensor

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.kernels import RotatedScatter, TokenMove


class DecodedChunk:
    """Belongs to the works that it makes, which one stream must do, in their order.

    Args:
        caches: whose chunks are quantised. The room is beside them, on their device.
    """

    def __init__(self, caches: PagedCaches) -> None:
        form, plane = caches.chunk, caches.planes[0]
        shape = (form.planes, *form.plane_shape)
        self._chunk = torch.empty(shape, dtype=plane.dtype, device=plane.device)
        self._decode = open_quantised([one[None] for one in self._chunk], layout_of(form))

    def moving(
        self, encoded: Tensor, scatter: RotatedScatter, token_move: TokenMove
    ) -> DecodedScatter:
        """Return the work that moves tokens of a chunk, ``[bytes]``, through this room."""
        return DecodedScatter(
            self._decode, encoded, ScatterTokens(scatter, self._chunk, token_move)
        )
