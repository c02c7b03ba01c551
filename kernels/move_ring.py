"""Passes moves to a kernel in pinned host memory, which the kernel reads without an upload."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

# More launches than a stream has under way at once; one more would wait for the oldest.
_PLACES = 64
_MOVES = 256


class MoveRing:
    """A ring of tables of moves, for one thread at a time and for launches on one stream."""

    def __init__(self, device: torch.device) -> None:
        self._on_host = device.type == "cpu"
        self._places = cycle([] if self._on_host else [_Place() for _ in range(_PLACES)])

    @contextmanager
    def holding(self, moves: Sequence[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield ``moves`` as an int64 table, at least ``[len(moves), 2]``, for the launches inside.

        The table belongs to them until the current stream has passed them; an event recorded on
        leaving tells when.
        """
        if self._on_host:
            yield torch.tensor(moves, dtype=torch.int64, device="cpu")
            return
        place = next(self._places)
        yield place.fill(moves)
        place.used.record()


class _Place:
    """Pinned memory for one table, and the event after the launch that read it last."""

    def __init__(self) -> None:
        self.used = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self._grow(_MOVES)

    def fill(self, moves: Sequence[tuple[int, int]]) -> Tensor:
        self.used.synchronize()
        if len(moves) > len(self._table):
            self._grow(len(moves))
        self._rows[: len(moves)] = moves
        return self._table

    def _grow(self, moves: int) -> None:
        self._table = torch.empty(moves, 2, dtype=torch.int64, device="cpu", pin_memory=True)
        self._rows = self._table.numpy()
