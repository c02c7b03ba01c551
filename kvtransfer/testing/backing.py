"""Defines how a contract reaches what a store keeps, to damage it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kvtransfer.chunks.layout import ChunkFormat
    from kvtransfer.stores import ChunkStore, Store, StoreSettings


class Backing(Protocol):
    """Opens stores over the same entries, and changes these entries without any store."""

    def open(self, chunk: ChunkFormat, settings: StoreSettings) -> ChunkStore:
        """Open one more store of chunks over the same entries."""
        ...

    def entries(self, settings: StoreSettings) -> Store:
        """Open one more store over the same entries, for any format."""
        ...

    def payload(self, key: str) -> bytes | None:
        """Return the payload half of ``key``'s entry; None where there is none."""
        ...

    def set_payload(self, key: str, payload: bytes | None) -> None:
        """Replace the payload half alone; None removes it."""
        ...

    def fields(self, key: str) -> dict[str, str] | None:
        """Return the fields of the record of ``key``'s entry; None where there is no record."""
        ...

    def set_fields(self, key: str, fields: dict[str, str] | None) -> None:
        """Replace the record half alone; None removes it."""
        ...

    def elapse(self, seconds: int) -> None:
        """Let ``seconds`` of every entry's time to live pass."""
        ...
