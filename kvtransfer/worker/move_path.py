"""Moves tokens of chunks to other positions: their keys are rotated on the way into the blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.device.work import ScatterTokens
from kvtransfer.kernels import TokenMove, open_rotation
from kvtransfer.kernels.reference import plane_shape
from kvtransfer.worker.decoded_chunk import DecodedChunk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from kvtransfer.device import Event
    from kvtransfer.kernels import Rotation
    from kvtransfer.move import Move
    from kvtransfer.worker.group_paths import SectionPaths
    from kvtransfer.worker.lanes import Streams


class MovePath:
    """The way of tokens into the blocks of ``paths``, from a slot that holds their chunk.

    Raises:
        ValueError: the caches hold numbers that can't be rotated, or ``rotation`` isn't theirs.
    """

    def __init__(self, paths: SectionPaths, rotation: Rotation, streams: Streams) -> None:
        self._paths = paths
        self._streams = streams
        planes, chunk = paths.caches.planes, paths.caches.chunk
        self._scatter = open_rotation(planes, rotation, 2 if chunk.layout == "split" else 1)
        self._kernel_tokens = plane_shape(planes[0])[1]
        self._decoded = DecodedChunk(paths.caches) if chunk.quantised else None

    def move(self, chunk: Tensor, move: Move, after: Sequence[Event]) -> Event:
        """Move tokens of ``chunk``, as of a :class:`kvtransfer.worker.lanes.Lane`, after ``after``.

        The slot and the written tokens belong to the move until the event is done.
        """
        token_move = self._token_move(move)
        if self._decoded is None:
            work: Callable[[], None] = ScatterTokens(self._scatter, chunk, token_move)
        else:
            work = self._decoded.moving(chunk, self._scatter, token_move)
        return self._streams.scatter.launch(work, after)

    def _token_move(self, move: Move) -> TokenMove:
        """Count in the kernel's blocks, which may be smaller than the manager's."""
        first, start = divmod(move.block_token, self._kernel_tokens)
        blocks = -(-(start + move.tokens) // self._kernel_tokens)
        return TokenMove(
            move.first_token,
            move.end_token,
            self._paths.kernel_blocks(move.block_ids)[first : first + blocks],
            start,
            move.source_position,
            move.target_position,
        )
