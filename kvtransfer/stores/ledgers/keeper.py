"""Tells ledgers in the background what was used and put, and recounts where they were lost."""

from __future__ import annotations

import time
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.rare_log import RareLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kvtransfer.stores.ledgers.books import Books
    from kvtransfer.stores.ledgers.interface import Ledger

_SETTLE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_ASK_AGAIN_S = 60.0
# One step is about a hundred entries, so that a server has time for those whom it serves.
_STEP_S = 0.05
_CLOSE_S = 5.0


class Keeper:
    """A thread that begins with the first :meth:`wake`.

    Args:
        books: are settled each second; after a failure more rarely.
        ledger: says whether a recount is due, and which writer does it.
        writer: the name of this one.
        begin_recount: returns an iterator that recounts, a step at a time.
    """

    def __init__(
        self,
        books: Books,
        ledger: Ledger,
        writer: str,
        begin_recount: Callable[[], Iterator[int]],
    ) -> None:
        self._books = books
        self._ledger = ledger
        self._writer = writer
        self._begin_recount = begin_recount
        self._recount: Iterator[int] | None = None
        self._asks_s = 0.0
        """When to ask next whether a recount is due, by ``time.monotonic``."""
        self._pause_s = _SETTLE_S
        self._log = RareLog()
        self._unexpected = RareLog()
        self._stop = Event()
        self._starting = Lock()
        self._thread: Thread | None = None

    def wake(self) -> None:
        """Begin, if that was not done before."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                thread = Thread(target=self._run, name="kvtransfer-quota", daemon=True)
                thread.start()
                self._thread = thread

    def close(self) -> None:
        """End the thread, and wait for it for some seconds at most."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            try:
                if self._books.settle():
                    self._asks_s = 0.0
                self._recount_for(_SETTLE_S)
                self._pause_s = _SETTLE_S
            except StoreError as error:
                self._recount = None
                self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
                self._log.warn(str(error))
            except Exception as error:  # noqa: BLE001 - a cache may not end a thread
                told = "quotas: a fault of kvtransfer, please report it"
                self._unexpected.warn_unexpected(told, error)

    def _recount_for(self, seconds: float) -> None:
        """Go on with the recount, if one is due, for about ``seconds``."""
        if self._recount is None and not self._is_due():
            return
        if self._recount is None:
            self._recount = self._begin_recount()
        self._ledger.claim(self._writer)
        ends_s = time.monotonic() + seconds
        for _ in self._recount:
            if self._stop.wait(_STEP_S) or time.monotonic() > ends_s:
                return
        self._recount = None

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._asks_s:
            return False
        self._asks_s = now_s + _ASK_AGAIN_S
        return not self._ledger.is_counted() and self._ledger.claim(self._writer)
