"""What a disk may do to a store: each costs hits and one line in the log, nothing else."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.stores.disk.disk_writer import key_of
from tests.stores.disk.small_disks import disk_of, read_only

FILE_BYTES = 12_288
KEYS = [key_of(i) for i in range(40)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "chunks"


@pytest.fixture
def store(folder):
    inner = FormattedStore(DiskStore(str(folder), StoreSettings()), CHUNK)
    with closing(GuardedStore(inner, inner.store.address)) as opened:
        yield opened


@pytest.fixture
def lines(caplog):
    """What was logged: counts, texts."""
    caplog.set_level(logging.WARNING, "kvtransfer")
    return lambda: [record.getMessage() for record in caplog.records]


def put(store, key):
    return store.put(key, memoryview(PAYLOAD))


def hits(store):
    """How many of ``KEYS`` can be had; what can must be right."""
    found = [get(store, key) for key in KEYS]
    assert set(found) <= {None, PAYLOAD}
    return len(found) - found.count(None)


def test_a_full_disk_makes_room_for_what_comes(folder, store, lines, monkeypatch):
    with disk_of(10 * FILE_BYTES, folder, monkeypatch):
        assert all(put(store, key) for key in KEYS)
        assert 5 <= hits(store) <= 10
        assert get(store, KEYS[-1]) == PAYLOAD
    assert (lines(), store.failures) == ([], 0)


def test_a_disk_that_others_fill_takes_nothing_and_still_serves(folder, store, lines, monkeypatch):
    with disk_of(10 * FILE_BYTES, folder, monkeypatch):
        assert put(store, KEYS[0])
        (folder / "foreign").write_bytes(bytes(9 * FILE_BYTES - 4096))  # a block is the marker's
        # As if nothing here was known yet, or could be deleted.
        monkeypatch.setattr("kvtransfer.stores.disk.eviction.DiskEviction.evict", lambda *_: False)
        assert [put(store, key) for key in KEYS[1:]] == [False] * 39
        assert hits(store) == 1
        assert not list(folder.rglob("*.part"))
    (line,) = lines()
    assert f"disk://{folder}" in line
    assert "takes no chunks for now: " in line
    assert store.failures == 0


def test_a_read_only_disk_serves_and_takes_nothing(folder, store, lines, monkeypatch):
    assert put(store, KEYS[0])
    assert put(store, KEYS[1])
    with read_only(folder, monkeypatch):
        assert not any(put(store, key) for key in KEYS)
        assert hits(store) == 2
    (line,) = lines()
    assert "Read-only file system" in line
    assert store.failures == 0


def test_a_folder_deleted_while_running_is_made_again(folder, store, lines):
    assert all(put(store, key) for key in KEYS)
    shutil.rmtree(folder)
    assert hits(store) == 0
    assert store.contains(KEYS) == [False] * len(KEYS)
    assert all(put(store, key) for key in KEYS)
    assert hits(store) == len(KEYS)
    assert (lines(), store.failures) == ([], 0)


def test_a_file_in_place_of_the_folder_is_misses_and_two_lines(folder, store, lines):
    folder.write_text("not a folder")
    for _ in range(5):
        assert not put(store, KEY)
        assert store.contains([KEY, OTHER_KEY]) == [False, False]
        assert get(store, KEY) is None
    assert folder.read_text() == "not a folder"
    for_writes, for_reads = lines()
    assert "takes no chunks for now: [Errno 20] Not a directory" in for_writes
    assert "its chunks are misses: Not a directory" in for_reads


def test_a_write_that_fails_is_tried_again_after_a_rest(folder, lines, monkeypatch):
    store = FormattedStore(DiskStore(str(folder), StoreSettings()), CHUNK)
    calls = []

    def broken(*_):
        calls.append(1)
        raise OSError(errno.EIO, "Input/output error")

    with closing(store), monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", broken)
        assert [put(store, key) for key in KEYS] == [False] * len(KEYS)
        assert len(calls) == 1
        patch.undo()
        now_s = time.monotonic()
        store.store._gate._clock = lambda: now_s + 1
        assert put(store, KEY)
    assert len(lines()) == 1


@pytest.mark.parametrize("gone", [errno.ENOENT, errno.ESTALE])
def test_a_file_that_vanishes_under_a_reader_is_a_miss(folder, store, lines, monkeypatch, gone):
    assert put(store, KEY)

    def vanished(*_):
        raise OSError(gone, os.strerror(gone))

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", vanished)
        assert get(store, KEY) is None
    assert (lines(), store.failures) == ([], 0)


def test_a_sick_sector_is_a_miss_and_a_line(folder, store, lines, monkeypatch):
    assert put(store, KEY)

    def sick(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", sick)
        assert get(store, KEY) is None
    assert get(store, KEY) == PAYLOAD
    (line,) = lines()
    assert "Input/output error" in line


def test_a_late_disk_is_a_failure(folder, monkeypatch):
    with closing(FormattedStore(DiskStore(str(folder), StoreSettings()), CHUNK)) as store:
        assert put(store, KEY)
        later_s = iter(range(0, 10**6, 10))
        monkeypatch.setattr(time, "monotonic", lambda: float(next(later_s)))
        with pytest.raises(StoreError, match="no answer in time"):
            get(store, KEY)
        with pytest.raises(StoreError, match="no answer in time"):
            store.contains([KEY])
        assert not put(store, OTHER_KEY)
    assert not list(folder.rglob("*.part"))
