"""Copies chunks between paged blocks and slots, both directions at once."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.device.failed import FailedEvent
from kvtransfer.worker.group_paths import GroupPaths
from kvtransfer.worker.lanes import Stages, Streams, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.chunks.layout import Formats
    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.device import Device, Event
    from kvtransfer.worker.host_pool import HostPool


class Copier:
    """Copies between paged blocks and the slots of ``pool``, on streams that it owns.

    Any thread may call, and no call waits for a copy. Blocks and slot belong to the copy from the
    call until the returned event is done. Errors are found in the event; none is raised.
    """

    @classmethod
    def open(
        cls, caches: Sequence[PagedCaches | None], formats: Formats, pool: HostPool, device: Device
    ) -> Copier:
        """Open the streams, and the lanes of each cache group.

        Args:
            caches: those of each group; None: it has no layers here, and nothing is copied.
            formats: what the groups' pieces are.
            pool: has slots for them.
            device: where the caches are.

        Raises:
            ValueError: no kernel of ours can read the planes of ``caches``.
        """
        streams = Streams.open(device)
        if device.is_host:
            on_host = {
                group: GroupPaths.on_host(each, streams)
                for group, each in enumerate(caches)
                if each is not None
            }
            return cls(on_host, pool, streams)
        stages = Stages(device, formats)
        paths = {
            group: GroupPaths.on_device(group, each, streams, device, stages)
            for group, each in enumerate(caches)
            if each is not None
        }
        return cls(paths, pool, streams)

    def __init__(self, groups: Mapping[int, GroupPaths], pool: HostPool, streams: Streams) -> None:
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
            paths = self._groups[group]
            try:
                blocks = paths.kernel_blocks(block_ids)
            except ValueError as wrong:
                return FailedEvent(wrong)
            return paths.saving.to_host(blocks, self._pool.chunk(slot, group), written)

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

        The slot is read after ``filled``, the events by which it holds the chunk. The blocks are
        written after ``free``, the events by which no other work reads or writes them.
        """
        with self._inward:
            paths = self._groups[group]
            try:
                blocks = paths.kernel_blocks(block_ids)
            except ValueError as wrong:
                return FailedEvent(wrong)
            target = Target(blocks, first_token, filled, free)
            return paths.loading(len(blocks)).to_device(self._pool.chunk(slot, group), target)

    def close(self) -> None:
        """Wait for the copies and end the streams."""
        self._streams.close()
