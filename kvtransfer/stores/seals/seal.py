"""Defines seals, which bind an entry's payload to its record, so that no other fits either.

A *seal* is a way to compute the tag of a record: a checksum, a keyed hash, or authenticated
encryption. A tag covers the payload and the record's identity, which names the base key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from kvtransfer.stores.record import ChunkFacts, ChunkRecord


class Sealed(Protocol):
    """A payload as it is stored, and its record; one thread at a time uses it."""

    def __len__(self) -> int:
        """Return the bytes of the payload as stored."""
        ...

    @property
    def payload(self) -> memoryview:
        """The payload as it is stored; where it is encrypted, that takes a while at first."""
        ...

    def part(self, begin: int, end: int) -> memoryview:
        """Return bytes ``begin`` to ``end`` of the payload as stored, which the tag then covers.

        Who asks for the parts in order has each sealed while the processor's cache holds it. A part
        that was asked for before is returned again.
        """
        ...

    def record(self) -> ChunkRecord:
        """Compute the record; the part of the payload that the tag doesn't cover yet is read first."""
        ...


class Opening(Protocol):
    """Verifies one payload as it arrives, and decrypts it in place where it was encrypted."""

    def update(self, piece: memoryview) -> None:
        """Take the next bytes of the payload, and decrypt them in place if need be."""
        ...

    def is_genuine(self) -> bool:
        """Whether the tag is right for all bytes that ``update`` took; call it once, at the end.

        The payload must not be used unless this has returned True.
        """
        ...


class Refusal:
    """An :class:`Opening` that is never genuine, for a payload that can't be verified here."""

    def update(self, piece: memoryview) -> None:
        """See :class:`Opening`; leaves ``piece`` as it is."""

    def is_genuine(self) -> bool:
        """See :class:`Opening`."""
        return False


class Seal(Protocol):
    """One way to seal, with one key where it has any; safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name of the seal, and of its key, in records."""
        ...

    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str, topic: str = ""
    ) -> AbstractContextManager[Sealed]:
        """Seal ``payload`` for storing it as ``key``; the result is valid inside the context.

        Args:
            key: the base key.
            facts: what the payload means.
            payload: flat bytes as the codec made them, only read.
            tenant: whose it is, as :func:`kvtransfer.chunks.keys.tenant_of_salt` names it. The
                record says so, and a key of this tenant alone encrypts the payload.
            topic: of a feed, in the tenant's place; records don't name topics.
        """
        ...

    def opening(self, record: ChunkRecord, tenant: str) -> Opening:
        """Begin to verify the payload of ``record``, sealed for ``tenant``, or for a topic."""
        ...
