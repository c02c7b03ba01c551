"""Remembers blocks that loads have filled until their request begins, and voids them if need be.

When the weights change, what has arrived for a request that still loads was computed by others.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvtransfer.plan import Load


class FilledBlocks:
    """For the scheduler's thread.

    Voiding is a job: every worker reports its blocks as failed, and the request waits for that.
    """

    def __init__(self) -> None:
        self._under_way: dict[int, tuple[str, tuple[int, ...]]] = {}
        """Request and blocks of each load job that has not ended."""
        self._filled: defaultdict[str, list[int]] = defaultdict(list)
        """Blocks by request."""
        self._voided: dict[int, tuple[int, ...]] = {}
        """Blocks by job, until a step takes them."""
        self._last_job = 0

    def begin(self, request_id: str, loads: Iterable[Load]) -> None:
        """These loads of the request are under way."""
        self._under_way.update((load.job, (request_id, load.block_ids)) for load in loads)

    def end(self, job: int, *, failed: bool) -> None:
        """The load has ended; a job that voids blocks has filled none."""
        request_id, block_ids = self._under_way.pop(job, ("", ()))
        if block_ids and not failed:
            self._filled[request_id] += block_ids

    def void(self, request_id: str) -> int | None:
        """Void what has been filled for the request.

        Returns:
            The job that does it, negative: no load has its number; None: nothing was filled.
        """
        block_ids = self._filled.pop(request_id, None)
        if block_ids is None:
            return None
        return self.void_blocks(block_ids)

    def note(self, request_id: str, block_ids: Iterable[int]) -> None:
        """These blocks of the request are filled by no load alone; ``void`` voids them too."""
        self._filled[request_id] += block_ids

    def void_blocks(self, block_ids: Iterable[int]) -> int:
        """Void these; returns the job that does it, as ``void`` does."""
        self._last_job -= 1
        self._voided[self._last_job] = tuple(block_ids)
        return self._last_job

    def take_voided(self) -> Mapping[int, tuple[int, ...]]:
        """Blocks by job that were voided since the last call, for the next step."""
        taken, self._voided = self._voided, {}
        return taken

    def forget(self, request_id: str) -> None:
        """The request has received all its loads: its blocks are the engine's."""
        self._filled.pop(request_id, None)
