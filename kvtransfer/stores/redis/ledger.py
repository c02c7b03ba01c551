"""Keeps ledgers on Redis servers; see :class:`kvtransfer.stores.ledgers.interface.Ledger`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores.ledgers.scope import Scope
from kvtransfer.stores.redis import ledger_commands as commands
from kvtransfer.stores.redis.commands import fields_of, scanned
from kvtransfer.stores.redis.ledger_commands import CLAIM, COUNTED, REGISTRY, names_of
from kvtransfer.stores.redis.wire.batch import Batch, command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kvtransfer.stores.ledgers.interface import Account, ScopeState, Telling
    from kvtransfer.stores.ledgers.member import Member
    from kvtransfer.stores.ledgers.scope import Limit
    from kvtransfer.stores.redis.servers import Servers


class RedisLedger:
    """Ledgers on ``servers``, which it owns; its methods are explained by the interface."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def tell(self, limit: Limit, writer: str, telling: Telling) -> Account:
        """See :class:`Ledger`."""
        name = names_of(limit.scope).state
        (reply,) = self._ask(name, commands.tell(limit, writer, telling))
        account = commands.account_of(reply)
        if account is None:
            raise PartError(f"the quota of {limit.scope}: the server's answer makes no sense")
        return account

    def remove(self, members: Sequence[Member]) -> None:
        """See :class:`Ledger`."""
        with _failing():
            self._servers.remove_all([member.key for member in members], self._servers.begin())

    def register(self, scope: Scope) -> bool:
        """See :class:`Ledger`."""
        return self._ask(REGISTRY, command(b"SADD", REGISTRY, str(scope).encode())) == [1]

    def scopes(self) -> Iterator[Scope]:
        """See :class:`Ledger`."""
        cursor = b""
        while cursor != b"0":
            asked = command(b"SSCAN", REGISTRY, cursor or b"0", b"COUNT", b"200")
            cursor, names = scanned(*self._ask(REGISTRY, asked))
            for name in names:
                if name != COUNTED:
                    yield Scope.read(name.decode(errors="replace"))

    def state(self, scope: Scope) -> ScopeState:
        """See :class:`Ledger`."""
        names = names_of(scope)
        fields, entries = self._ask(names.state, *commands.state(names))
        return commands.state_of(scope, fields_of(fields) or {}, entries)

    def members(self, scope: Scope) -> Iterator[Mapping[Member, int]]:
        """See :class:`Ledger`."""
        names, cursor = names_of(scope), b""
        while cursor != b"0":
            (reply,) = self._ask(names.order, commands.scan_order(names, cursor or b"0"))
            cursor, uses = commands.uses_of(reply)
            yield uses

    def now_us(self) -> int:
        """See :class:`Ledger`; by the clock of the server that has the registry."""
        (reply,) = self._ask(REGISTRY, command(b"TIME"))
        match reply:
            case [bytes() as seconds, bytes()] if seconds.isdigit():
                return int(seconds) * 1_000_000
        return int(time.time() * 1_000_000)

    def forget(self, scope: Scope) -> None:
        """See :class:`Ledger`."""
        names = names_of(scope)
        self._ask(names.state, command(b"UNLINK", *names))
        self._ask(REGISTRY, command(b"SREM", REGISTRY, str(scope).encode()))

    def is_counted(self) -> bool:
        """See :class:`Ledger`."""
        return self._ask(REGISTRY, command(b"SISMEMBER", REGISTRY, COUNTED)) == [1]

    def set_counted(self, *, is_counted: bool) -> None:
        """See :class:`Ledger`."""
        self._ask(REGISTRY, command(b"SADD" if is_counted else b"SREM", REGISTRY, COUNTED))

    def claim(self, writer: str) -> bool:
        """See :class:`Ledger`."""
        _, name = self._ask(CLAIM, commands.claim(writer), command(b"GET", CLAIM))
        is_ours = name == writer.encode()
        if is_ours:
            self._ask(CLAIM, commands.prolong_claim())
        return is_ours

    def close(self) -> None:
        """See :class:`Ledger`."""
        self._servers.close()

    def _ask(self, name: bytes, *asked: bytes) -> list[object]:
        """Return the replies to commands about ``name`` and names of the same hash slot."""
        with _failing():
            replies = self._servers.execute(name, Batch(asked), self._servers.begin())
        if replies is None:
            raise PartError("a quota's ledger: the server's answer is too long")
        return replies


@contextmanager
def _failing() -> Iterator[None]:
    """Say that ledgers failed, and not the store as a whole, which may well serve entries."""
    try:
        yield
    except StoreError as error:
        raise PartError(f"a quota can't be kept: {error}") from None
