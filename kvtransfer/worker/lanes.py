"""Copies between blocks and a slot in several ways; events order every hand-over of memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from kvtransfer.chunks.piece_view import piece_views
from kvtransfer.device.work import Copy, Gather, Scatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.device import Device, Event, Stream
    from kvtransfer.kernels import BlockCopy, QuantisedCopy

# A kernel fills one stage while the copy engine empties another; a third evens out their speeds.
_STAGES = 3


@dataclass(frozen=True)
class Streams:
    """Two streams for each direction: one for kernels, one for the copy engine."""

    gather: Stream
    to_host: Stream
    to_device: Stream
    scatter: Stream

    @classmethod
    def open(cls, device: Device) -> Streams:
        """Open streams of ``device``. A load's kernels go before the model's: a request waits."""
        return cls(
            gather=device.stream("kvtransfer-gather"),
            to_host=device.stream("kvtransfer-to-host"),
            to_device=device.stream("kvtransfer-to-device"),
            scatter=device.stream("kvtransfer-scatter", priority=-1),
        )

    def close(self) -> None:
        """Wait for the work that was launched, and end the streams."""
        for stream in (self.gather, self.to_host, self.to_device, self.scatter):
            stream.close()


class Lane(Protocol):
    """Copies in both directions in one way; only one thread at a time may use each direction.

    ``chunk`` is ``[planes, tokens, heads, dim]`` in the slot, or ``[bytes]`` where its numbers are
    quantised. Blocks and slot belong to the copy until the returned event is done.
    """

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """Copy the kernel's ``block_ids`` into ``chunk``, after the events ``written``."""
        ...

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """Copy ``chunk``, from ``target.first_token`` on, into ``target.block_ids``."""
        ...


@dataclass(frozen=True)
class Target:
    """The blocks that a chunk, or the end of one, is copied into."""

    block_ids: Sequence[int]
    """The kernel's numbers of the blocks, in token order."""
    first_token: int
    """The token of the chunk with which the first block begins."""
    filled: Sequence[Event]
    """Events after which the chunk is in its slot."""
    free: Sequence[Event]
    """Events after which no other work reads or writes the blocks."""


class DirectLane:
    """A :class:`Lane` on which a kernel reads one side and writes the other."""

    def __init__(self, copy: BlockCopy | QuantisedCopy, streams: Streams) -> None:
        self._copy = copy
        self._streams = streams

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """See :class:`Lane`."""
        return self._streams.gather.launch(Gather(self._copy, block_ids, chunk), written)

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """See :class:`Lane`."""
        scatter = Scatter(self._copy, chunk, target.block_ids, target.first_token)
        return self._streams.scatter.launch(scatter, [*target.filled, *target.free])


class Stages:
    """Contiguous device memory for chunks on their way, which the lanes of all groups share.

    Each direction has three stages, used one after another: the kernel of one chunk runs beside
    the copy of the next. Only one thread at a time may use each direction.
    """

    def __init__(self, device: Device, formats: Formats) -> None:
        self.outward = cycle([_Stage.of(device, formats) for _ in range(_STAGES)])
        self.inward = cycle([_Stage.of(device, formats) for _ in range(_STAGES)])


class StagedLane:
    """A :class:`Lane` through ``stages``, so that one copy moves the whole chunk."""

    def __init__(
        self,
        copy: BlockCopy | QuantisedCopy,
        streams: Streams,
        device: Device,
        stages: Stages,
        group: int = 0,
        section: int = 0,
    ) -> None:
        self._copy = copy
        self._streams = streams
        self._device = device
        self._stages = stages
        self._group = group
        self._section = section

    def to_host(self, block_ids: Sequence[int], chunk: Tensor, written: Sequence[Event]) -> Event:
        """See :class:`Lane`."""
        stage = next(self._stages.outward)
        staged = stage.pieces[self._group][self._section]
        gather = Gather(self._copy, block_ids, staged)
        gathered = self._streams.gather.launch(gather, [*written, *stage.free()])
        copy = Copy(self._device, [(chunk, staged)])
        stage.used = self._streams.to_host.launch(copy, [gathered])
        return stage.used

    def to_device(self, chunk: Tensor, target: Target) -> Event:
        """See :class:`Lane`."""
        stage = next(self._stages.inward)
        staged = stage.pieces[self._group][self._section]
        copy = Copy(self._device, _tails(staged, chunk, target.first_token))
        arrived = self._streams.to_device.launch(copy, [*target.filled, *stage.free()])
        scatter = Scatter(self._copy, staged, target.block_ids, target.first_token)
        stage.used = self._streams.scatter.launch(scatter, [arrived, *target.free])
        return stage.used


class PagesLane:
    """A :class:`Lane` on which the copy engine moves each block of each plane on its own."""

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
        """Pair each block of each plane with the tokens of the chunk that it holds."""
        block_tokens = self._planes[0].shape[1]
        return [
            (plane[block], rows[start : start + block_tokens])
            for plane, rows in zip(self._planes, chunk, strict=True)
            for i, block in enumerate(block_ids)
            for start in (first_token + i * block_tokens,)
        ]


@dataclass
class _Stage:
    """Device memory for one chunk on its way."""

    pieces: Sequence[Sequence[Tensor]]
    """The memory as ``[planes, tokens, heads, dim]``, by group and section."""
    used: Event | None = field(default=None)
    """The event after the last work that used the stage."""

    @classmethod
    def of(cls, device: Device, formats: Formats) -> _Stage:
        """Take device memory that holds any piece of ``formats``."""
        memory = device.memory(formats.slot_bytes)[None]
        return cls([[view[0] for view in piece_views(form, memory)] for form in formats.formats])

    def free(self) -> list[Event]:
        """Return the events before which it must not be written; failed work leaves none."""
        return [] if self.used is None or self.used.error is not None else [self.used]


def _tails(stage: Tensor, chunk: Tensor, first_token: int) -> list[tuple[Tensor, Tensor]]:
    """Pair the tokens from ``first_token`` on: per plane, or in one piece where that is all."""
    if first_token == 0 or chunk.dim() == 1:  # the tokens of a quantised chunk share some bytes
        return [(stage, chunk)]
    return [(to[first_token:], rows[first_token:]) for to, rows in zip(stage, chunk, strict=True)]
