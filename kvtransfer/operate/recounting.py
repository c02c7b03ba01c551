"""Counts anew what a store holds under its quotas, for an operator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kvtransfer.metrics import Metrics
from kvtransfer.operate.pace import Pace
from kvtransfer.stores.ledgers.books import Books
from kvtransfer.stores.ledgers.recount import recount
from kvtransfer.stores.ledgers.scope import KnownLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from kvtransfer.stores.interface import Store
    from kvtransfer.stores.ledgers.interface import Ledger


def recount_store(
    store: Store, ledger: Ledger, entries_per_s: float, tell: Callable[[str], None]
) -> None:
    """Count all entries of ``store`` by the limits that its engines counted by last.

    Args:
        store: is listed and asked what is there.
        ledger: of the same store.
        entries_per_s: are listed at most; 0: as fast as the store answers.
        tell: is called with how far it is.

    Raises:
        StoreError: the store doesn't answer.
    """
    states = [ledger.state(scope) for scope in list(ledger.scopes())]
    limits = {state.scope: state.limit_bytes for state in states if state.limit_bytes}
    books = Books(KnownLimits(limits), ledger, os.urandom(8).hex(), Metrics())
    pace, counted = Pace(entries_per_s), 0
    for count in recount(store.entries(), store.contains, ledger, books):
        pace.spend(count)
        counted += count
        tell(f"{counted:,} entries")
