"""Verifies the payload of one entry as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.record import ChunkRecord
from kvtransfer.stores.seals.seal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.stores.redis.commands import Found
    from kvtransfer.stores.redis.wire.read_buffer import Take
    from kvtransfer.stores.seals.in_use import Seals
    from kvtransfer.stores.seals.seal import Opening


class Arrival:
    """Takes the parts of the payload of ``key``, and decrypts them in place where need be.

    Each part is verified while the processor's cache still holds it and the next one is on its
    way: afterwards it would be read from memory again.
    """

    def __init__(self, seals: Seals, key: str, tenant: str) -> None:
        self._seals = seals
        self._key = key
        self._tenant = tenant
        self._record: ChunkRecord | None = None
        self._opening: Opening = Refusal()

    def begin(self, fields: Mapping[str, str] | None) -> Take:
        """Begin with the record that ``fields`` make, and return what takes its payload.

        A payload that is read again, over another connection, begins again.
        """
        self._record = ChunkRecord.read(fields or {}, self._key)
        if self._record is not None:
            self._opening = self._seals.opening(self._record, self._tenant)
        return self._opening.update

    def verified(self, found: Found) -> ChunkRecord | None:
        """Return the record if all of its payload has come and is genuine; None otherwise."""
        record = self._record
        if record is None or not found.is_filled:
            return None
        fits = record.identity.nbytes == found.payload_bytes
        return record if fits and self._opening.is_genuine() else None
