"""Finds, writes and lists entries, each one object: its record, then its payload.

The record is the same sector of text that a file on disk ends with. Here it comes first, so one
request brings it and the beginning of the payload, and half an entry can't exist: an object
appears as a whole. Only what the record says of itself counts, once the seal has verified it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.stores.disk.file.record_sector import decode_fields
from kvtransfer.stores.disk.names import is_chunk, is_fan, is_owner, path_of
from kvtransfer.stores.objects.calls import HEADER_BYTES, HEADERS_AT_ONCE
from kvtransfer.stores.record import ChunkRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.stores.interface import LengthOf
    from kvtransfer.stores.objects.calls import BucketCalls, Found
    from kvtransfer.stores.objects.lifetime import Lifetime


@dataclass(frozen=True)
class Entry:
    """An object that is as long as the record at its beginning says; its payload isn't verified."""

    found: Found
    record: ChunkRecord

    @classmethod
    def of(cls, read: tuple[Found, bytes] | None) -> Entry | None:
        """Take what was read of an object; None where that is no entry."""
        if read is None:
            return None
        found, header = read
        record = ChunkRecord.from_fields(decode_fields(header))
        fits = record is not None and HEADER_BYTES + record.identity.nbytes == found.nbytes
        return cls(found, record) if record is not None and fits else None


class ObjectEntries:
    """Works on entries in a bucket by ``calls``; whose errors, it raises.

    ``removes`` is False where nothing may be removed that is over.
    """

    def __init__(self, calls: BucketCalls, lifetime: Lifetime, *, removes: bool) -> None:
        self._calls = calls
        self._lifetime = lifetime
        self._removes = removes

    def held(self, keys: Sequence[str], length_of: LengthOf) -> list[bool]:
        """Say for each key whether its entry is there, as ``Store.contains`` does."""
        found = self._alive(self._calls.heads([path_of(key) for key in keys]))
        lengths = [length_of(key) for key in keys]
        answers = [
            each is not None and _has_length(each, nbytes)
            for each, nbytes in zip(found, lengths, strict=True)
        ]
        # What is shorter may hold the chunk in another form; its record says so.
        shorter = [
            index
            for index, (each, nbytes) in enumerate(zip(found, lengths, strict=True))
            if each is not None and nbytes is not None and each.nbytes < HEADER_BYTES + nbytes
        ]
        for index, entry in zip(shorter, self._entries([keys[i] for i in shorter]), strict=True):
            answers[index] = entry is not None
        return answers

    def find(self, key: str) -> Entry | None:
        """Return the entry of ``key``; None where there is none, or another one's, or it is over."""
        (entry,) = self._entries([key])
        return entry

    def add(
        self, key: str, header: bytes, nbytes: int, serves: Callable[[ChunkRecord], bool]
    ) -> None:
        """Put an entry where none was found; one that ``serves`` and was put meanwhile is kept."""
        if self._calls.create(path_of(key), header, nbytes):
            return
        entry = self.find(key)
        if entry is None or not serves(entry.record):
            self._calls.write(path_of(key), header, nbytes)

    def records(self, page: Sequence[Found]) -> list[tuple[str, ChunkRecord | None]]:
        """Name what of ``page`` is named as an entry and isn't over; with its record, if it has one.

        Of a page with ``HEADERS_AT_ONCE`` objects at most.
        """
        paths = [each.path for each in page if _is_name(each.path) and not self._is_over(each)]
        entries = map(Entry.of, self._calls.headers(paths)) if paths else ()
        return [
            (path, None if entry is None else entry.record)
            for path, entry in zip(paths, entries, strict=True)
        ]

    def _is_over(self, found: Found) -> bool:
        return self._lifetime.is_over(found.modified)

    def _alive(self, found: Sequence[Found | None]) -> list[Found | None]:
        """Leave out what is over, and remove it."""
        over = [each.path for each in found if each is not None and self._is_over(each)]
        if over and self._removes:
            self._calls.remove(over)
        return [None if each is None or self._is_over(each) else each for each in found]

    def _entries(self, keys: Sequence[str]) -> list[Entry | None]:
        """Find the entries of ``keys``, as ``find`` does."""
        found: list[Entry | None] = []
        for begin in range(0, len(keys), HEADERS_AT_ONCE):
            part = keys[begin : begin + HEADERS_AT_ONCE]
            read = map(Entry.of, self._calls.headers([path_of(key) for key in part]))
            found += [
                entry
                if entry and entry.record.names(key) and not self._is_over(entry.found)
                else None
                for key, entry in zip(part, read, strict=True)
            ]
        return found


def in_parts(page: Sequence[Found]) -> list[Sequence[Found]]:
    """Cut ``page`` into parts whose headers one call reads."""
    return [page[i : i + HEADERS_AT_ONCE] for i in range(0, len(page), HEADERS_AT_ONCE)]


def _has_length(found: Found, nbytes: int | None) -> bool:
    """Whether ``found`` has room for a record, and a payload of ``nbytes`` where that is known."""
    payload_bytes = found.nbytes - HEADER_BYTES
    return payload_bytes >= 0 if nbytes is None else payload_bytes == nbytes


def _is_name(path: str) -> bool:
    """Whether an object called ``path`` may be an entry."""
    owner, _, rest = path.partition("/")
    fan, _, name = rest.partition("/")
    return is_owner(owner) and is_fan(fan) and is_chunk(name, fan)
