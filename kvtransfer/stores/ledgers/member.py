"""Names entries in ledgers: the base key, and behind a ``.`` the tenant where there is one. Pure."""

from __future__ import annotations

from typing import NamedTuple

from kvtransfer.chunks.keys import parse_base_key


class Member(NamedTuple):
    """An entry of a store as a ledger names it."""

    key: str
    """The base key."""
    tenant: str

    def __str__(self) -> str:
        return f"{self.key}.{self.tenant}" if self.tenant else self.key

    @classmethod
    def read(cls, text: str) -> Member | None:
        """Invert :meth:`__str__`; None for anything else, which a ledger may hold, too."""
        model, _, rest = text.rpartition("@")
        chunk_hash, _, tenant = rest.partition(".")
        key = f"{model}@{chunk_hash}"
        try:
            parse_base_key(key)
        except ValueError:
            return None
        return cls(key, tenant)
