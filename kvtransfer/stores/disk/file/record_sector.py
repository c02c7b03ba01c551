"""Writes the record of an entry as one sector of text, and reads it back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kvtransfer.errors import StoreError
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES

if TYPE_CHECKING:
    from kvtransfer.stores.record import ChunkRecord

_MAGIC = b"kvtransfer chunk 2\n"


def encode_record(record: ChunkRecord) -> bytes:
    """Write ``record`` as one sector of text, so that ``tail -c 4096`` shows what a file is.

    Raises:
        StoreError: the names in the record are too long for a sector.
    """
    text = _MAGIC + json.dumps(record.to_fields()).encode()
    if len(text) > SECTOR_BYTES:
        raise StoreError(f"a record of {len(text)} bytes doesn't fit into {SECTOR_BYTES}")
    return text.ljust(SECTOR_BYTES, b"\0")


def decode_fields(sector: bytes | memoryview) -> dict[str, str]:
    """Read the fields of the record in ``sector``; empty where the sector holds no record."""
    text = bytes(sector)
    if not text.startswith(_MAGIC):
        return {}
    try:
        fields = json.loads(text.removeprefix(_MAGIC).rstrip(b"\0"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        return {}
    is_ours = isinstance(fields, dict) and all(isinstance(text, str) for text in fields.values())
    return fields if is_ours else {}


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name stands there twice")
    return fields
