"""Tells entries from orphans, where each entry is one thing under a path of its own. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.stores.disk.names import key_of, path_of
from kvtransfer.stores.interface import StoredEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kvtransfer.stores.record import ChunkRecord

    Records = Iterable[tuple[str, ChunkRecord | None]]
    """Paths, each with the record that was read there; None where it can't be read."""


def entries_of(records: Records) -> Iterator[StoredEntry]:
    """Yield what lies where its record says."""
    for path, record in records:
        if record is not None and path_of(record.identity.key) == path:
            yield StoredEntry.of(record)


def orphans_of(records: Records) -> Iterator[str]:
    """Yield the keys of paths whose record can't be read, or is another's."""
    for path, record in records:
        key = key_of(path)
        if key is not None and (record is None or path_of(record.identity.key) != path):
            yield key
