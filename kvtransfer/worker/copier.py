"""Copies chunks between paged blocks and slots, both directions at once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.device.all_of import single_events
from kvtransfer.device.free_cores import free_cores
from kvtransfer.kernels import Helpers
from kvtransfer.worker.group_paths import GroupPaths, SectionPaths
from kvtransfer.worker.lanes import Stages, Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.device import Device, Event
    from kvtransfer.kernels import Rotation
    from kvtransfer.move import Move
    from kvtransfer.worker.host_pool import HostPool


class Copier:
    """Copies between paged blocks and the slots of ``pool``, on streams that it owns.

    Any thread may call, and no call waits for a copy. Blocks and slot belong to the copy from the
    call until the returned event is done. Errors are found in the event; none is raised.
    """

    @classmethod
    def open(
        cls,
        caches: Sequence[Sequence[PagedCaches]],
        formats: Formats,
        pool: HostPool,
        device: Device,
    ) -> Copier:
        """Open the streams, and the lanes of each cache group.

        Args:
            caches: those of each group, by section.
            formats: what the groups' pieces are.
            pool: has slots for them.
            device: where the caches are.

        Raises:
            ValueError: no kernel of ours can read the planes of ``caches``.
        """
        streams = Streams.open(device)
        if device.is_host:
            helpers = Helpers(free_cores())
            on_host = [
                [SectionPaths.on_host(each, streams, helpers) for each in group] for group in caches
            ]
            return cls(list(map(GroupPaths, on_host)), pool, streams, helpers)
        stages = Stages(device, formats)
        on_device = [
            [
                SectionPaths.on_device(number, section, each, streams, device, stages)
                for section, each in enumerate(group)
            ]
            for number, group in enumerate(caches)
        ]
        return cls(list(map(GroupPaths, on_device)), pool, streams)

    def __init__(
        self,
        groups: Sequence[GroupPaths],
        pool: HostPool,
        streams: Streams,
        helpers: Helpers | None = None,
    ) -> None:
        self._helpers = helpers
        self._groups = groups
        self._pool = pool
        self._streams = streams
        self._outward = Lock()
        self._inward = Lock()

    def to_host(
        self, block_ids: Sequence[int], slot: int, written: Sequence[Event], group: int = 0
    ) -> Event:
        """Copy the manager's ``block_ids``, one whole piece of ``group``, into ``slot``.

        The copy starts after ``written``, the events by which the blocks hold their contents.
        """
        with self._outward:
            sections = self._pool.sections(slot, group)
            return self._groups[group].to_host(block_ids, sections, written)

    def to_device(
        self,
        slot: int,
        block_ids: Sequence[int],
        first_token: int,
        filled: Sequence[Event],
        free: Sequence[Event],
        group: int = 0,
    ) -> Event:
        """Copy the piece in ``slot``, from ``first_token`` on, into the manager's ``block_ids``.

        The slot is read after ``filled``, the events by which it holds the piece. The blocks are
        written after ``free``, the events by which no other work reads or writes them.
        """
        with self._inward:
            sections = self._pool.sections(slot, group)
            ready = list(single_events(filled))
            return self._groups[group].to_device(sections, block_ids, first_token, ready, free)

    def rotate_by(self, rotation: Rotation) -> None:
        """Say how the model rotates its keys; before that, every ``move`` fails.

        Args:
            rotation: the same in all layers. Its table is only read.

        Raises:
            ValueError: the caches hold numbers that can't be rotated, or it isn't theirs.
        """
        with self._inward:
            for group in self._groups:
                group.rotate_by(rotation, self._streams)

    def move(
        self,
        slot: int,
        moves: Sequence[Move],
        filled: Sequence[Event],
        free: Sequence[Event],
        group: int = 0,
    ) -> Event:
        """Copy tokens of the piece in ``slot`` to other positions; see ``to_device``."""
        with self._inward:
            sections = self._pool.sections(slot, group)
            return self._groups[group].move(sections, moves, [*single_events(filled), *free])

    def close(self) -> None:
        """Wait for the copies and end the streams."""
        self._streams.close()
        if self._helpers is not None:
            self._helpers.close()
