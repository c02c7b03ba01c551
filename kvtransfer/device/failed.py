"""The event of work that could not be launched."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class FailedEvent:
    """See :class:`kvtransfer.device.Event`; it is done from the start, and ``error`` says why."""

    is_done = True

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def wait(self) -> None:
        """See :class:`kvtransfer.device.Event`; returns at once."""

    def on_done(self, call: Callable[[], None]) -> None:
        """See :class:`kvtransfer.device.Event`; calls at once."""
        call()
