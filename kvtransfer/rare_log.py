"""Limits one kind of warning to one line a minute."""

from __future__ import annotations

import logging
import time
import traceback
from threading import Lock
from typing import TYPE_CHECKING

from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger("kvtransfer")
_EVERY_S = 60.0


class RareLog:
    """Counts warnings and logs the first of each minute; any thread may call."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._count = 0
        self._logged_s: float | None = None

    def warn(self, what: str) -> None:
        """Count ``what``; log it with the count, unless a line was logged in the last minute."""
        count = self._counted()
        if count is not None:
            _LOG.warning("%s (%d so far)", what, count)

    def warn_unexpected(self, what: str, error: BaseException) -> None:
        """Do the same, and log the traceback of ``error``, which is a bug in this package."""
        count = self._counted()
        if count is not None:
            _LOG.warning("%s (%d so far)\n%s", what, count, _trace(error))

    def _counted(self) -> int | None:
        """The count so far, or None if a line was logged in the last minute."""
        with self._lock:
            now_s = self._clock()
            self._count += 1
            if self._logged_s is not None and now_s < self._logged_s + _EVERY_S:
                return None
            self._logged_s = now_s
            return self._count


def _trace(error: BaseException) -> str:
    """The traceback; its last line is escaped, because it may quote a server or a file."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{frames}{type(error).__name__}: {printable(str(error))}"
