"""What a folder on NFS does that one on a disk doesn't; the faults are played at the calls of ``os``."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.stores.disk.disk_backing import DiskBacking
from tests.stores.disk.disk_writer import PATIENT
from tests.stores.disk.test_store import run_writer, said

SOFT = [errno.EIO, errno.ETIMEDOUT]
"""What a soft mount answers for a server that is gone."""


@pytest.fixture
def share(tmp_path):
    return tmp_path / "share"


@pytest.fixture
def store(share):
    with closing(open_store(f"file://{share}", CHUNK, StoreSettings())) as opened:
        yield opened


def put(store, key=KEY):
    return store.put(key, memoryview(PAYLOAD))


def failing(error):
    def call(*_, **__):
        raise OSError(error, os.strerror(error))

    return call


@pytest.mark.parametrize("error", SOFT)
def test_a_server_that_is_gone_is_a_failure_and_no_fault(store, share, monkeypatch, caplog, error):
    caplog.set_level(logging.WARNING, "kvtransfer")
    guarded = GuardedStore(store, store.store.address)
    assert put(guarded)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(error))
        assert get(guarded, KEY) is None
        assert guarded.contains([KEY, OTHER_KEY]) == [False, False]
        assert not put(guarded, OTHER_KEY)
    assert (guarded.failures, guarded.faults) == (2, 0)
    assert all(f"file://{share}" in record.getMessage() for record in caplog.records)
    assert get(guarded, KEY) == PAYLOAD


@pytest.mark.parametrize("error", SOFT)
@pytest.mark.parametrize("name", ["preadv", "fstat"])
def test_an_error_while_reading_is_a_failure_and_deletes_nothing(store, monkeypatch, error, name):
    assert put(store)
    with monkeypatch.context() as patch:
        patch.setattr(os, name, failing(error))
        with pytest.raises(StoreError, match=r"^file:///"):
            get(store, KEY)
    assert get(store, KEY) == PAYLOAD


def test_a_server_that_is_gone_at_start_costs_hits_only(share, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing(errno.EIO))
        store = open_store(f"file://{share}", CHUNK, StoreSettings())
    with closing(store):
        assert put(store)
        assert get(store, KEY) == PAYLOAD


def test_a_stale_file_is_a_miss_and_what_took_its_place_stays(store, share, monkeypatch):
    backing = DiskBacking(share)
    assert put(store)

    def replaced(*_):
        backing.set_payload(KEY, PAYLOAD)  # by another client: a new file, renamed
        failing(errno.ESTALE)()

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", replaced)
        assert get(store, KEY) is None
    assert get(store, KEY) == PAYLOAD


def test_a_rename_whose_answer_was_lost_has_happened(store, monkeypatch):
    really = os.rename

    def renamed_twice(*names, **folders):
        really(*names, **folders)
        really(*names, **folders)

    monkeypatch.setattr(os, "rename", renamed_twice)
    assert put(store)
    assert get(store, KEY) == PAYLOAD


def test_a_rename_that_failed_is_no_put(store, share, monkeypatch):
    monkeypatch.setattr(os, "rename", failing(errno.ENOENT))
    assert not put(store)
    assert store.contains([KEY]) == [False]
    assert not list(share.rglob("*.part"))


def test_bytes_that_the_server_refuses_at_last_are_no_put(store, share, monkeypatch):
    """A client learns of a full server when it closes a file, and closes before it renames."""
    really, told = os.close, []

    def close(fd):
        is_part = os.readlink(f"/proc/self/fd/{fd}").endswith(".part")
        # The listing in the background opens such files too, for both, to see whether writers live.
        is_written = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
        really(fd)
        if is_part and is_written and not told:
            told.append(fd)
            failing(errno.ENOSPC)()

    monkeypatch.setattr(os, "close", close)
    assert not put(store)
    assert told
    assert store.contains([KEY]) == [False]
    assert not list(share.rglob("*.part"))


def abandoned(share, age_s):
    """A file as a writer on another machine leaves it, last written by the server's clock."""
    folder = DiskBacking(share).path(KEY).parent
    file = folder / f"{KEY.rpartition('@')[2]}.{'0' * 32}.{'1' * 32}.part"
    file.write_bytes(b"half")
    os.utime(file, (time.time() - age_s, time.time() - age_s))
    return file


def test_without_locks_only_old_files_of_dead_writers_go(store, share, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    assert put(store)
    young = abandoned(share, 60)
    store.store.eviction.rescan()
    assert young.exists()
    old = abandoned(share, 7200)
    store.store.eviction.rescan()
    assert not old.exists()
    assert get(store, KEY) == PAYLOAD


def test_files_deleted_while_open_are_no_entries(store, share):
    assert put(store)
    folder = DiskBacking(share).path(KEY).parent
    DiskBacking(share).path(KEY).rename(folder / ".nfs0000000000a1b2c3000000d4")
    store.store.eviction.rescan()
    assert (len(store.store.eviction), list(store.store.entries())) == (0, [])
    assert get(store, KEY) is None


def test_what_clients_and_filers_leave_makes_a_share_no_foreign_folder(share, store):
    share.mkdir()
    (share / ".nfs0000000000a1b2c3000000d4").touch()
    (share / ".snapshot").mkdir()
    assert put(store)
    assert get(store, KEY) == PAYLOAD


def test_a_clock_that_is_wrong_by_hours_costs_hits_only(share):
    """Another client is two hours late: by its clock nothing has lived too long."""
    late = DiskBacking(share)
    settings = StoreSettings(ttl_s=3600)
    late.now_s = time.time() - 7200
    with closing(late.open(CHUNK, settings)) as one:
        assert put(one)
        assert get(one, KEY) == PAYLOAD
        with closing(open_store(f"file://{share}", CHUNK, settings)) as other:
            assert get(other, KEY) is None
            assert put(other)
            assert get(other, KEY) == PAYLOAD


def test_two_processes_share_what_is_mounted(share):
    """Each without O_DIRECT's certainty, and with another's evictions; what comes is right."""
    url = f"file://{share}?max_gib={25 * 70_000 / 2**30}"
    writers = [run_writer("share", url, seed, 200) for seed in range(2)]
    assert min(int(said(writer)) for writer in writers) > 20


def test_a_file_system_without_direct_io_serves(store, monkeypatch):
    really = fcntl.fcntl

    def no_direct(fd, command, flags=0):
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            failing(errno.EINVAL)()
        return really(fd, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", no_direct)
    assert put(store)
    assert get(store, KEY) == PAYLOAD


def test_the_store_is_called_as_its_url(share):
    with closing(open_store(f"file://{share}?max_gib=1", CHUNK, PATIENT)) as store:
        assert store.store.address == f"file://{share}"
