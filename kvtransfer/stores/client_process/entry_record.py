"""Writes the record of an entry, and when its time to live ends, as one value.

Stores of this kind have no time to live of their own, so readers judge it. The tag doesn't cover
it: a hit may renew an entry without its payload, and bytes are verified however old they are.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from kvtransfer.stores.record import ChunkRecord


@dataclass(frozen=True)
class EntryRecord:
    """A record, and the second since 1970 at which its entry ends; None: it doesn't end."""

    record: ChunkRecord
    expiry_s: int | None

    def to_bytes(self) -> bytes:
        """Return the value."""
        text = json.dumps({"expiry_s": self.expiry_s, "fields": self.record.to_fields()})
        return text.encode()

    @classmethod
    def read(cls, value: bytes, key: str) -> EntryRecord | None:
        """Return what ``value`` says if that is a record of ``key``; None for anything else."""
        try:
            match json.loads(value):
                case {"expiry_s": int() | None as expiry_s, "fields": dict() as fields}:
                    record = ChunkRecord.read(fields, key)
                case _:
                    return None
        except (ValueError, RecursionError):
            return None
        return None if record is None else cls(record, expiry_s)

    def is_over(self, now_s: float) -> bool:
        """Whether the entry's time to live has ended."""
        return self.expiry_s is not None and self.expiry_s <= now_s
