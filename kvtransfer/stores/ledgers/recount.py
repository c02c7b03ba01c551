"""Makes ledgers say what a store holds, where they were lost, or others have removed entries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from kvtransfer.stores.ledgers.interface import GONE
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.ledgers.scope import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from kvtransfer.stores.interface import StoredEntry
    from kvtransfer.stores.ledgers.books import Books
    from kvtransfer.stores.ledgers.interface import Ledger

    Contains = Callable[[Sequence[str]], Sequence[bool]]

_AT_ONCE = 128
# Who has counted an entry may still be putting it.
_UNDER_WAY_US = 10_000_000


def recount(
    entries: Iterable[StoredEntry], contains: Contains, ledger: Ledger, books: Books
) -> Iterator[int]:
    """Count all ``entries``, and drop from the ledgers what isn't there; yield the sizes of steps.

    What was put without a ledger, or was lost with one, counts from then on, as old as it is. Where
    that brings a scope over its limit, its oldest entries go.

    Raises:
        StoreError: the store doesn't answer.
    """
    began_us = ledger.now_us()
    rest = iter(entries)
    while some := list(islice(rest, _AT_ONCE)):
        members = [Member(each.key, each.identity.tenant) for each in some]
        sizes = [each.nbytes for each in some]
        put_us = [each.created_s * 1_000_000 for each in some]
        books.learn(dict(zip(members, sizes, strict=True)), dict(zip(members, put_us, strict=True)))
        yield len(some)
    for scope in list(ledger.scopes()):
        limit = Limit(scope, ledger.state(scope).limit_bytes)
        if limit.nbytes:
            yield from _drop_absent(limit, began_us - _UNDER_WAY_US, contains, ledger, books)
        if ledger.state(scope).entries == 0:
            ledger.forget(scope)
    ledger.set_counted(is_counted=True)


def _drop_absent(
    limit: Limit, before_us: int, contains: Contains, ledger: Ledger, books: Books
) -> Iterator[int]:
    for uses in ledger.members(limit.scope):
        old = [member for member, used_us in uses.items() if used_us < before_us]
        held = contains([member.key for member in old])
        absent = [member for member, is_held in zip(old, held, strict=True) if not is_held]
        if absent:
            books.learn_of(limit, dict.fromkeys(absent, GONE))
        yield len(uses)
