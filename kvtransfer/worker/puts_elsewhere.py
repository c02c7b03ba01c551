"""Stands for the puts of a rank whose shard another rank puts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtransfer.device import Event
    from kvtransfer.plan import Put, Save
    from kvtransfer.worker.outcomes import Outcomes


class PutsElsewhere:
    """Puts nothing; ends each put as soon as its slot is filled. See ``Puts``."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    def offer(self, job: Save | Put, copied: Event | None) -> None:
        """End the put of ``job`` after ``copied``, the copy that fills its slot, if there is one."""
        if copied is None:
            self._outcomes.end_put(job)
        else:
            copied.on_done(partial(self._outcomes.end_put, job))

    def add(self, job: Save | Put, copied: Event | None) -> None:
        """Do what ``offer`` does: nothing waits here."""
        self.offer(job, copied)

    def close(self) -> None:
        """Do nothing: nothing is under way."""
