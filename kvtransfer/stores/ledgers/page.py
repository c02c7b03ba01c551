"""Keeps one limit in this process: what may be put, and what the ledger has still to be told."""

from __future__ import annotations

import time
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.ledgers.interface import GONE, MOST_TOLD, USED, Account, Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kvtransfer.stores.ledgers.interface import Ledger
    from kvtransfer.stores.ledgers.member import Member
    from kvtransfer.stores.ledgers.scope import Limit

# All leases of one scope leave at most 1.6 % of it unused, however many writers have one.
_ALL_LEASES = 64
_FEW_WRITERS = 8
# Half of the time that the ledger keeps a lease: a call may be late.
_LEASE_S = 5.0
_MOST_NOTES = MOST_TOLD // 2
# What else there is to tell of a ledger that doesn't answer is lost: its entries then go as they age.
_MOST_KEPT = 10_000


class Page:
    """The limit of one scope, as one writer keeps it; safe to use from several threads.

    Bytes are counted in the ledger before they are put: one by one, or some puts' bytes at once as
    a lease, where that is a small part of the limit.

    Args:
        limit: of the scope.
        ledger: counts for all writers.
        writer: the name of this one.
        evicted: called with entries that count no longer; it removes them from the store.
        clock: returns seconds.
    """

    def __init__(
        self,
        limit: Limit,
        ledger: Ledger,
        writer: str,
        evicted: Callable[[Limit, Sequence[Member]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit = limit
        self.is_registered = False
        """Whether the ledger's scope is listed, as far as we know."""
        self.was_new = False
        """Whether the ledger had nothing when it was told something last."""
        self.used_s = clock()
        """When the last put was asked for."""
        self._ledger = ledger
        self._writer = writer
        self._evicted = evicted
        self._clock = clock
        self._telling = Lock()
        """Held while the ledger is told, and by puts."""
        self._noting = Lock()
        """Held for a moment only, so that reads never wait for a server."""
        self._notes: dict[Member, int] = {}
        self._refused = 0
        self._lease_bytes = 0
        self._writers = 0
        """How many had a lease when the ledger was told something last."""
        self._lease_ends_s = 0.0

    def admit(self, member: Member, nbytes: int) -> bool:
        """Count ``member`` before ``nbytes`` of it are put; False: it must not be put.

        Raises:
            PartError: the ledger doesn't answer.
        """
        with self._telling:
            self.used_s = self._clock()
            if self._takes_from_lease(nbytes):
                self.note(member, nbytes)
                return True
            is_admitted = nbytes <= self.limit.nbytes and self._book(member, nbytes)
            self._refused += not is_admitted
            return is_admitted

    def note(self, member: Member, nbytes: int) -> None:
        """Tell the ledger of ``member`` with its next call; a use only while there is room for it."""
        with self._noting:
            if nbytes == USED:
                if len(self._notes) < _MOST_NOTES:
                    self._notes.setdefault(member, USED)
            elif len(self._notes) < _MOST_KEPT:
                self._notes[member] = nbytes

    def settle(self) -> None:
        """Tell the ledger what it has to be told; gives back the lease where no put came for long.

        Raises:
            PartError: the ledger doesn't answer.
        """
        with self._telling:
            is_idle = self._clock() - self.used_s >= _LEASE_S
            if self._notes or self._refused or self._lease_bytes:
                self._tell({}, 0 if is_idle else self._lease_bytes)

    def give_back(self) -> None:
        """Tell the ledger what it has to be told, and give back the lease."""
        with self._telling:
            if self._notes or self._refused or self._lease_bytes:
                self._tell({}, 0)

    def learn(self, sizes: Mapping[Member, int], put_us: Mapping[Member, int]) -> None:
        """Tell the ledger of entries that a listing has shown, at most half of ``MOST_TOLD``.

        Raises:
            PartError: the ledger doesn't answer.
        """
        with self._telling:
            self._tell(sizes, self._lease_bytes, put_us)

    def _takes_from_lease(self, nbytes: int) -> bool:
        is_valid = self._clock() < self._lease_ends_s and len(self._notes) < _MOST_NOTES
        if not is_valid or nbytes > self._lease_bytes:
            return False
        self._lease_bytes -= nbytes
        return True

    def _book(self, member: Member, nbytes: int) -> bool:
        lease_bytes = self.limit.nbytes // _ALL_LEASES // max(self._writers, _FEW_WRITERS)
        account = self._tell({member: nbytes}, lease_bytes if lease_bytes >= nbytes else 0)
        has_room = account.held_bytes <= self.limit.nbytes and member not in account.victims
        if not has_room:
            self.note(member, GONE)
        return has_room

    def _tell(
        self,
        entries: Mapping[Member, int],
        lease_bytes: int,
        put_us: Mapping[Member, int] = MappingProxyType({}),
    ) -> Account:
        began_s, refused = self._clock(), self._refused
        with self._noting:
            notes, self._notes = self._notes, {}
        told = dict(list(notes.items())[: MOST_TOLD - len(entries)])
        left = {member: note for member, note in notes.items() if member not in told}
        telling = Telling({**told, **entries}, lease_bytes, refused, put_us)
        try:
            account = self._ledger.tell(self.limit, self._writer, telling)
        except StoreError:
            self._note_again(notes)
            raise
        self._note_again(left)
        self._refused -= refused
        self._lease_bytes, self._lease_ends_s = lease_bytes, began_s + _LEASE_S
        self._answered(account)
        return account

    def _note_again(self, notes: Mapping[Member, int]) -> None:
        with self._noting:
            self._notes = {**notes, **self._notes}

    def _answered(self, account: Account) -> None:
        self._writers = account.leases
        if account.is_new:
            self.was_new, self.is_registered = True, False
        if account.victims:
            self._evicted(self.limit, account.victims)
