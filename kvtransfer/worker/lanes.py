"""The ways between blocks and a slot; every hand-over of memory on the way is an event."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from kvtransfer.device.work import Copy, Gather, Scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.device import Device, Event, Stream
    from kvtransfer.kernels import BlockCopy

# A kernel fills one while the copy engine empties another; the third covers their unevenness.
_STAGES = 3


@dataclass(frozen=True)
class Streams:
    """Two a direction: kernels, and the copy engine's work."""

    gather: Stream
    to_host: Stream
    to_device: Stream
    scatter: Stream

    @classmethod
    def open(cls, device: Device) -> Streams:
        """Of ``device``; a load's kernel goes before the model's, for a request waits for it."""
        return cls(
            gather=device.stream("kvtransfer-gather"),
            to_host=device.stream("kvtransfer-to-host"),
            to_device=device.stream("kvtransfer-to-device"),
            scatter=device.stream("kvtransfer-scatter", priority=-1),
        )

    def close(self) -> None:
        """Wait for what was launched and end."""
        for stream in (self.gather, self.to_host, self.to_device, self.scatter):
            stream.close()


class Lane(Protocol):
    """One way, both directions; each direction for one thread at a time.

    ``chunk`` is ``[planes, tokens, heads, dim]`` in the slot. Blocks and slot belong to the copy
    until the event that is returned is done.
    """

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """Copy the kernel's ``block_ids``, once ``written``, into ``chunk``."""
        ...

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """Copy ``chunk`` into blocks."""
        ...


@dataclass(frozen=True)
class Target:
    """Where a chunk, or the end of one, goes."""

    block_ids: Sequence[int]
    """The kernel's."""
    first_token: int
    """Of the chunk, with which the first block begins."""
    filled: Sequence[Event]
    """After which the chunk is in its slot."""
    free: Sequence[Event]
    """After which nobody reads or writes the blocks."""


class DirectLane:
    """See :class:`Lane`: a kernel reads the one and writes the other."""

    def __init__(self, copy: BlockCopy, streams: Streams) -> None:
        self._copy = copy
        self._streams = streams

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """See :class:`Lane`."""
        return self._streams.gather.launch(Gather(self._copy, block_ids, chunk), written)

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """See :class:`Lane`."""
        scatter = Scatter(self._copy, chunk, target.block_ids, target.first_token)
        return self._streams.scatter.launch(scatter, [*target.filled, *target.free])


class StagedLane:
    """See :class:`Lane`: by contiguous device memory, so that one copy moves the whole chunk.

    Each direction has stages of its own, used in turn: the kernel of one chunk runs beside the
    copy of another.
    """

    def __init__(
        self, copy: BlockCopy, streams: Streams, device: Device, chunk: ChunkFormat
    ) -> None:
        self._copy = copy
        self._streams = streams
        self._device = device
        self._out = cycle(_stages(device, copy, chunk))
        self._in = cycle(_stages(device, copy, chunk))

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """See :class:`Lane`."""
        stage = next(self._out)
        gather = Gather(self._copy, block_ids, stage.chunk)
        gathered = self._streams.gather.launch(gather, [*written, *stage.free()])
        copy = Copy(self._device, [(chunk, stage.chunk)])
        stage.used = self._streams.to_host.launch(copy, [gathered])
        return stage.used

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """See :class:`Lane`."""
        stage = next(self._in)
        copy = Copy(self._device, _tails(stage.chunk, chunk, target.first_token))
        arrived = self._streams.to_device.launch(copy, [*target.filled, *stage.free()])
        scatter = Scatter(self._copy, stage.chunk, target.block_ids, target.first_token)
        stage.used = self._streams.scatter.launch(scatter, [arrived, *target.free])
        return stage.used


class PagesLane:
    """See :class:`Lane`: the copy engine takes each block of each plane by itself."""

    def __init__(self, planes: Sequence[Tensor], streams: Streams, device: Device) -> None:
        self._planes = planes
        self._streams = streams
        self._device = device

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """See :class:`Lane`."""
        pairs = [(row, block) for block, row in self._pages(block_ids, chunk, 0)]
        return self._streams.to_host.launch(Copy(self._device, pairs), written)

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """See :class:`Lane`."""
        pairs = self._pages(target.block_ids, chunk, target.first_token)
        after = [*target.filled, *target.free]
        return self._streams.to_device.launch(Copy(self._device, pairs), after)

    def _pages(
        self, block_ids: Sequence[int], chunk: Tensor, first_token: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Each block of each plane, and the tokens of the chunk that it holds."""
        block_tokens = self._planes[0].shape[1]
        return [
            (plane[block], rows[start : start + block_tokens])
            for plane, rows in zip(self._planes, chunk, strict=True)
            for i, block in enumerate(block_ids)
            for start in (first_token + i * block_tokens,)
        ]


@dataclass
class _Stage:
    """Device memory for one chunk, on its way."""

    chunk: Tensor
    used: Event | None = field(default=None)
    """After the last use of it."""

    def free(self) -> list[Event]:
        """What to wait for before it is written. A use that failed has left nothing under way."""
        return [] if self.used is None or self.used.error is not None else [self.used]


def _stages(device: Device, copy: BlockCopy, chunk: ChunkFormat) -> list[_Stage]:
    dtype = copy.planes[0].dtype
    shape = (chunk.planes, *chunk.plane_shape)
    return [_Stage(device.memory(chunk.nbytes).view(dtype).view(shape)) for _ in range(_STAGES)]


def _tails(stage: Tensor, chunk: Tensor, first_token: int) -> list[tuple[Tensor, Tensor]]:
    """The tokens from ``first_token`` on: of each plane, or of all at once where that is all."""
    if first_token == 0:
        return [(stage, chunk)]
    return [(to[first_token:], rows[first_token:]) for to, rows in zip(stage, chunk, strict=True)]
