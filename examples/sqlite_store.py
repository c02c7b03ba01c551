"""A store that another package could bring: entries are rows of an SQLite file.

Its package would declare it with

    [project.entry-points."kvtransfer.stores"]
    sqlite = "sqlite_store:SQLiteStore"

and ``remote_url: sqlite:///path/to/file`` would name it. It uses public names of kvtransfer only.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from kvtransfer import ConfigError, StoreError
from kvtransfer.stores import ChunkRecord, Store, StoredEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.stores import ChunkFacts, Identity, StoreSettings

_TABLE = "CREATE TABLE IF NOT EXISTS entries (key PRIMARY KEY, record, payload, ends_s)"
_PUT = "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)"
_LIVING = "FROM entries WHERE (ends_s IS NULL OR ends_s > ?)"


class SQLiteStore(Store):
    """Keeps entries in the file of ``sqlite:///path``, and evicts none."""

    @classmethod
    def open(cls, url: str, settings: StoreSettings) -> SQLiteStore:
        cls.check(url, settings)
        return cls(url.removeprefix("sqlite://"), settings)

    @classmethod
    def check(cls, url: str, settings: StoreSettings) -> None:
        if not url.startswith("sqlite:///"):
            raise ConfigError(f"store URL {url!r} is malformed: write sqlite:///path/to/file")

    def __init__(self, path: str, settings: StoreSettings) -> None:
        self._path = path
        self._settings = settings

    def contains(self, keys: Sequence[str], length_of: object = None) -> list[bool]:
        with self._rows() as rows:
            rows.execute("DELETE FROM entries WHERE ends_s <= ?", [time.time()])
            asked = f"SELECT 1 {_LIVING} AND key = ? AND record NOTNULL AND payload NOTNULL"
            return [bool(rows.execute(asked, [time.time(), key]).fetchone()) for key in keys]

    def get_into(self, key: str, buffer: memoryview, tenant: str = "") -> ChunkRecord | None:
        with self._rows() as rows:
            record, payload = self._entry(rows, key)
            if record is not None and len(payload) <= len(buffer):
                target = buffer[: len(payload)]
                target[:] = payload
                if self._settings.seals.open_whole(record, target, tenant):
                    self._live_on(rows, key, self._settings.hit_ttl_s)
                    return record
        if not self._settings.only_reads:
            self.remove(key)
        return None

    def renew(self, key: str, serves: Callable[[Identity], bool]) -> bool:
        with self._rows() as rows:
            is_kept = self._settings.seals.keep(self._entry(rows, key)[0], serves)
            if is_kept:
                self._live_on(rows, key, self._settings.ttl_s)
            return is_kept

    def put(self, key: str, payload: memoryview, facts: ChunkFacts, tenant: str = "") -> bool:
        with self._settings.seals.sealed(key, facts, payload, tenant) as it, self._rows() as rows:
            rows.execute(_PUT, [key, json.dumps(it.record().to_fields()), it.payload, None])
            self._live_on(rows, key, self._settings.ttl_s)
        return True

    def entries(self) -> Iterator[StoredEntry]:
        with self._rows() as rows:
            keys = rows.execute(f"SELECT key {_LIVING}", [time.time()]).fetchall()
            records = [self._entry(rows, key)[0] for (key,) in keys]
        yield from map(StoredEntry.of, filter(None, records))

    def stat(self, key: str) -> ChunkRecord | None:
        with self._rows() as rows:
            return self._entry(rows, key)[0]

    def remove(self, key: str) -> None:
        with self._rows() as rows:
            rows.execute("DELETE FROM entries WHERE key = ?", [key])

    def close(self) -> None:
        """Nothing is open between calls."""

    @contextmanager
    def _rows(self) -> Iterator[sqlite3.Connection]:
        """Make one transaction of the body; SQLite's own errors become failures of the store."""
        try:
            with closing(sqlite3.connect(self._path, self._settings.timeout_s)) as rows, rows:
                rows.execute("PRAGMA synchronous = OFF")  # a cache may lose what it had put last
                rows.execute(_TABLE)
                yield rows
        except sqlite3.Error as error:
            raise StoreError(f"sqlite://{self._path}: {error}") from None

    def _entry(self, rows: sqlite3.Connection, key: str) -> tuple[ChunkRecord | None, bytes]:
        """Read the record and payload of ``key``; None for the record of what is no whole entry."""
        asked = f"SELECT record, payload {_LIVING} AND key = ?"
        text, payload = rows.execute(asked, [time.time(), key]).fetchone() or (None, None)
        record = ChunkRecord.read(json.loads(text), key) if text and payload is not None else None
        is_whole = record is not None and record.identity.nbytes == len(payload)
        return (record if is_whole else None), payload

    def _live_on(self, rows: sqlite3.Connection, key: str, ttl_s: int | None) -> None:
        if ttl_s is not None:
            rows.execute("UPDATE entries SET ends_s = ? WHERE key = ?", [time.time() + ttl_s, key])
