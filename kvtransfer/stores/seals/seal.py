"""What binds an entry's payload to its record, so that neither can be taken for another's.

A *seal* is a way to compute the tag of a record: a checksum, a keyed hash, or encryption that
authenticates. Each covers the payload and the record's identity, which names the base key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from kvtransfer.stores.record import ChunkFacts, ChunkRecord


@dataclass(frozen=True)
class Sealed:
    """A payload as it is to be stored."""

    payload: memoryview
    record: Callable[[], ChunkRecord]
    """Computes the record to store beside it; reads all of the payload, so it takes a while."""


class Opening(Protocol):
    """Verifies one payload as it arrives, and decrypts it in place where it was encrypted."""

    def update(self, piece: memoryview) -> None:
        """Take in the next bytes of the payload, which are overwritten by what they mean."""
        ...

    def is_genuine(self) -> bool:
        """Whether the tag is right for all that ``update`` took in; call it once, at the end.

        Until it has returned True nothing of the payload may be used.
        """
        ...


class Refusal:
    """The opening of what can't be verified here: an :class:`Opening` that is never genuine."""

    def update(self, piece: memoryview) -> None:
        """See :class:`Opening`; nothing is touched."""

    def is_genuine(self) -> bool:
        """See :class:`Opening`."""
        return False


class Seal(Protocol):
    """One way to seal, with one key where it has any; safe to call from several threads."""

    @property
    def name(self) -> str:
        """As records have it."""
        ...

    def sealed(
        self, key: str, facts: ChunkFacts, payload: memoryview, tenant: str
    ) -> AbstractContextManager[Sealed]:
        """``payload`` as it is to be stored as ``key``; the result is good inside the context.

        Args:
            key: the base key.
            facts: what the payload means.
            payload: flat bytes as the codec made them, read only.
            tenant: whose key encrypts it, see :func:`kvtransfer.chunks.keys.tenant_of_salt`.
        """
        ...

    def opening(self, record: ChunkRecord, tenant: str) -> Opening:
        """For the payload of ``record``, which this seal has sealed for ``tenant``."""
        ...
