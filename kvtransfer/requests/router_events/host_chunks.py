"""Makes router events of what comes to host memory and leaves it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.requests.router_events.event import Removed, Stored
from kvtransfer.scheduling import changes

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from kvtransfer.requests.router_events.event import ChunkBlocks, Place, RouterEvent
    from kvtransfer.scheduling.changes import Change


class HostChunks:
    """The chunks in host memory that routers know at ``place``.

    It remembers the blocks of each chunk as long as the index has it: some are put into a store much
    later than their requests end.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._held: dict[str, ChunkBlocks | None] = {}
        """The blocks by key; None where they are not known, and no router knows the chunk."""
        self._coming: dict[int, tuple[str, ChunkBlocks]] = {}
        """What the jobs under way bring, or show the blocks of."""

    def blocks(self, key: str) -> ChunkBlocks | None:
        """The blocks of the chunk, where host memory holds it and they are known."""
        return self._held.get(key)

    def expect(self, job: int, key: str, blocks: ChunkBlocks) -> None:
        """The save or load ``job`` is of the chunk ``key``, which has these blocks."""
        self._coming[job] = key, blocks

    def end(
        self, jobs: Iterable[int], failed: Container[int], changed: Iterable[Change]
    ) -> Iterator[RouterEvent]:
        """Saves and loads have ended, and the index has ``changed`` since the last call."""
        ended = {job: self._coming.pop(job) for job in jobs if job in self._coming}
        arrived = dict(coming for job, coming in ended.items() if job not in failed)
        yield from self.follow(changed, arrived)
        for key, blocks in arrived.items():
            if key in self._held and self._held[key] is None:
                yield self._store(key, blocks)

    def follow(
        self, changed: Iterable[Change], arrived: dict[str, ChunkBlocks] | None = None
    ) -> Iterator[RouterEvent]:
        """The index has ``changed``; of chunks that were added, those ``arrived`` are described."""
        known = arrived or {}
        for change in changed:
            match change:
                case changes.Added(key):
                    self._held[key] = None
                    if key in known:
                        yield self._store(key, known[key])
                case changes.Removed(key):
                    yield from self._remove(self._held.pop(key, None))
                case changes.Cleared():
                    known = {key: blocks for key, blocks in self._held.items() if blocks} | known
                    yield from self._remove_all()
                    self._held.clear()

    def withdraw(self) -> Iterator[RouterEvent]:
        """Tell routers that nothing held or under way can be loaded."""
        self._coming.clear()
        yield from self._remove_all()
        self._held = dict.fromkeys(self._held)

    def repeat(self) -> Iterator[RouterEvent]:
        """Tell routers again of all that is held."""
        for blocks in self._held.values():
            if blocks is not None:
                yield Stored(self._place, blocks)

    def _store(self, key: str, blocks: ChunkBlocks) -> Stored:
        self._held[key] = blocks
        return Stored(self._place, blocks)

    def _remove(self, blocks: ChunkBlocks | None) -> Iterator[Removed]:
        if blocks is not None:
            yield Removed(self._place, blocks.hashes)

    def _remove_all(self) -> Iterator[Removed]:
        for blocks in self._held.values():
            yield from self._remove(blocks)
