"""Keeps all limits of an engine in one store: a page for each scope that it has put or read of."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.ledgers.interface import GONE
from kvtransfer.stores.ledgers.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from kvtransfer.metrics import Metrics
    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.ledgers.member import Member
    from kvtransfer.stores.ledgers.scope import Limit, Limits, Scope

# A page that was not used for this long is dropped, as tenants come and go.
_UNUSED_S = 300.0
_MOST_UNREMOVED = 10_000
_UNTIMED: Mapping[Member, int] = MappingProxyType({})


class Books:
    """The pages of one writer; safe to use from several threads.

    Args:
        limits: of all scopes.
        ledger: counts for all writers; it is closed with these books.
        writer: the name of this one.
        metrics: count puts that are refused, and entries that are evicted.
        clock: returns seconds.
    """

    def __init__(
        self,
        limits: Limits,
        ledger: Ledger,
        writer: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._ledger = ledger
        self._metrics = metrics
        self._clock = clock
        self._writer = writer
        self._lock = Lock()
        self._removing = Lock()
        """Held while entries are removed, so that no put goes before what gives way to it."""
        self._pages: dict[Scope, Page] = {}
        self._unremoved: deque[Member] = deque(maxlen=_MOST_UNREMOVED)
        """Entries that count no longer and are still in the store, as it did not answer."""

    def admit(self, member: Member, nbytes: int) -> bool:
        """Count ``member`` in all its scopes; False: it must not be put, as one of them is full.

        Raises:
            PartError: a ledger doesn't answer, or what was evicted can't be removed.
        """
        admitted: list[Page] = []
        with self._giving_back(member, admitted):
            for page in self._pages_of(self._limits.of(*member)):
                if not page.admit(member, nbytes):
                    self._metrics.add("remote_quota_refused_entries")
                    for each in admitted:
                        each.note(member, GONE)
                    return False
                admitted.append(page)
            self._remove_evicted()
        return True

    def note(self, member: Member, nbytes: int) -> None:
        """Have the ledgers told soon that ``member`` has ``nbytes``, was ``USED`` or is ``GONE``."""
        for page in self._pages_of(self._limits.of(*member)):
            page.note(member, nbytes)

    def learn(self, sizes: Mapping[Member, int], put_us: Mapping[Member, int]) -> None:
        """Tell the ledgers of entries that a listing has shown, a page of it.

        Raises:
            PartError: a ledger doesn't answer, or what was evicted can't be removed.
        """
        by_limit: dict[Limit, dict[Member, int]] = {}
        for member, nbytes in sizes.items():
            for limit in self._limits.of_listed(*member):
                by_limit.setdefault(limit, {})[member] = nbytes
        for limit, found in by_limit.items():
            self.learn_of(limit, found, put_us)

    def learn_of(
        self, limit: Limit, sizes: Mapping[Member, int], put_us: Mapping[Member, int] = _UNTIMED
    ) -> None:
        """Tell the ledger of one limit, as ``learn`` does; ``sizes`` may have some that are ``GONE``."""
        (page,) = self._pages_of([limit])
        page.learn(sizes, put_us)
        self._remove_evicted()

    def settle(self) -> bool:
        """Tell the ledgers what they have to be told, list new scopes, and drop unused pages.

        Returns:
            Whether a ledger was found to be lost, so that a recount is due.

        Raises:
            PartError: a ledger doesn't answer, or what was evicted can't be removed.
        """
        lost = False
        for page in self._all_pages():
            page.settle()
            lost |= self._register(page)
        self._remove_evicted()
        with self._lock:
            old_s = self._clock() - _UNUSED_S
            self._pages = {s: page for s, page in self._pages.items() if page.used_s > old_s}
        return lost

    def close(self) -> None:
        """Give back all leases and close the ledger.

        Raises:
            PartError: a ledger doesn't answer; then its lease ends by itself.
        """
        try:
            for page in self._all_pages():
                page.give_back()
                self._register(page)
            self._remove_evicted()
        finally:
            self._ledger.close()

    def _register(self, page: Page) -> bool:
        """List the scope of ``page``; return whether its ledger was lost: it was listed, and is new."""
        if page.is_registered:
            return False
        is_lost = not self._ledger.register(page.limit.scope) and page.was_new
        if is_lost:
            self._ledger.set_counted(is_counted=False)
        page.is_registered, page.was_new = True, False
        return is_lost

    def _pages_of(self, limits: Sequence[Limit]) -> list[Page]:
        with self._lock:
            return [self._pages.get(limit.scope) or self._new_page(limit) for limit in limits]

    def _new_page(self, limit: Limit) -> Page:
        page = Page(limit, self._ledger, self._writer, self._note_evicted, self._clock)
        self._pages[limit.scope] = page
        return page

    def _all_pages(self) -> list[Page]:
        with self._lock:
            return list(self._pages.values())

    def _note_evicted(self, limit: Limit, members: Sequence[Member]) -> None:
        """Take ``members`` from the other scopes in which they count."""
        self._metrics.add("remote_quota_evicted_entries", len(members))
        self._unremoved.extend(members)
        for member in members:
            others = [each for each in self._limits.of(*member) if each.scope != limit.scope]
            for page in self._pages_of(others):
                page.note(member, GONE)

    def _remove_evicted(self) -> None:
        with self._removing:
            members = [self._unremoved.popleft() for _ in range(len(self._unremoved))]
            try:
                if members:
                    self._ledger.remove(members)
            except StoreError:
                self._unremoved.extend(members)
                raise

    @contextmanager
    def _giving_back(self, member: Member, admitted: Sequence[Page]) -> Iterator[None]:
        """Take ``member`` from the scopes in which it counts already where the body raises."""
        try:
            yield
        except BaseException:
            for page in admitted:
                page.note(member, GONE)
            raise
