"""The example of a store that another package brings keeps the contracts, as a plugin."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.open import open_entries
from kvtransfer.testing import CHUNK, KEY, EntryContract, StoreContract
from tests.installed_plugin import install
from tests.stores.seals.seal_contract import SealContract

EXAMPLE = Path(__file__).parents[2] / "examples" / "sqlite_store.py"


class SQLiteBacking:
    """The rows, reached without the store."""

    def __init__(self, path):
        self.path = path

    def open(self, chunk, settings):
        return open_store(f"sqlite://{self.path}", chunk, replace(settings, timeout_s=60.0))

    def entries(self, settings):
        return open_entries(f"sqlite://{self.path}", replace(settings, timeout_s=60.0))

    def payload(self, key):
        return self._one("SELECT payload FROM entries WHERE key = ?", key)

    def fields(self, key):
        text = self._one("SELECT record FROM entries WHERE key = ?", key)
        return None if text is None else json.loads(text)

    def set_payload(self, key, payload):
        self._set("payload", key, payload)

    def set_fields(self, key, fields):
        self._set("record", key, None if fields is None else json.dumps(fields))

    def elapse(self, seconds):
        with closing(sqlite3.connect(self.path)) as rows, rows:
            rows.execute("UPDATE entries SET ends_s = ends_s - ?", [seconds])

    def _one(self, asked, key):
        with closing(sqlite3.connect(self.path)) as rows:
            found = rows.execute(asked, [key]).fetchone()
        return None if found is None else found[0]

    def _set(self, half, key, value):
        with closing(sqlite3.connect(self.path)) as rows, rows:
            rows.execute("INSERT OR IGNORE INTO entries (key) VALUES (?)", [key])
            rows.execute(f"UPDATE entries SET {half} = ? WHERE key = ?", [value, key])
            rows.execute("DELETE FROM entries WHERE record IS NULL AND payload IS NULL")


@pytest.fixture
def backing(tmp_path, monkeypatch):
    install(
        tmp_path,
        monkeypatch,
        scheme="sqlite",
        package="sqlite-store",
        store="sqlite_store:SQLiteStore",
        code=EXAMPLE.read_text(),
    )
    return SQLiteBacking(tmp_path / "entries.db")


class TestExample(StoreContract):
    pass


class TestEntriesOfTheExample(EntryContract):
    pass


class TestSealsOfTheExample(SealContract):
    pass


def test_its_url_is_checked_and_its_errors_are_failures(backing, tmp_path):
    check_stores(TransferConfig.of(remote_url="sqlite:///nowhere"))
    with pytest.raises(ConfigError, match="sqlite:///path/to/file"):
        check_stores(TransferConfig.of(remote_url="sqlite://host"))
    (tmp_path / "entries.db").write_text("something else, long enough to be no database" * 9)
    with closing(backing.open(CHUNK, StoreSettings())) as store, pytest.raises(StoreError):
        store.contains([KEY])
