"""What a disk, NIXL and other processes may do to a store of NIXL: each costs hits, nothing else."""

from __future__ import annotations

import logging
import os
import random
import time
from contextlib import closing, suppress
from types import SimpleNamespace

import pytest

from kvtransfer.chunks.keys import base_key
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.disk.file.direct_io import aligned_memory
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.nixl import agent as nixl_agent
from kvtransfer.stores.nixl.library import nixl_errors
from kvtransfer.stores.nixl.regions import Regions
from kvtransfer.stores.nixl.transfer import Transfer
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.stores.disk import disk_writer
from tests.stores.disk.disk_writer import PATIENT, key_of
from tests.stores.disk.small_disks import disk_of, read_only
from tests.stores.disk.test_store import run_writer, said
from tests.stores.nixl.nixl_backing import NixlBacking

FILE_BYTES = 12_288
KEYS = [key_of(i) for i in range(40)]
HASTY = StoreSettings(timeout_s=0.05)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "chunks"


@pytest.fixture
def store(folder):
    inner = open_store(f"nixl://posix{folder}", CHUNK, PATIENT)
    with closing(GuardedStore(inner, inner.store.address)) as opened:
        yield opened


@pytest.fixture
def lines(caplog):
    """What was logged: counts, texts."""
    caplog.set_level(logging.WARNING, "kvtransfer")
    return lambda: [record.getMessage() for record in caplog.records]


def put(store, key=KEY):
    return store.put(key, memoryview(PAYLOAD))


def hits(store):
    """How many of ``KEYS`` can be had; what can must be right."""
    found = [get(store, key) for key in KEYS]
    assert set(found) <= {None, PAYLOAD}
    return len(found) - found.count(None)


def refuse(monkeypatch, operation):
    """Let NIXL refuse to begin transfers of one kind."""
    begin = Transfer._begin

    def refused(self):
        if self.operation == operation:
            raise nixl_errors()[0]("NIXL_ERR_BACKEND")
        return begin(self)

    monkeypatch.setattr(Transfer, "_begin", refused)


def hang(monkeypatch):
    """Let no transfer come to an end; the result ends that."""
    polled, hung = Transfer.is_over, []

    def never(self):
        hung.append(self)
        return False

    monkeypatch.setattr(Transfer, "is_over", never)
    return SimpleNamespace(
        transfers=hung, end=lambda: monkeypatch.setattr(Transfer, "is_over", polled)
    )


def wait_until(is_so):
    deadline_s = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def late_after_a_call(regions):
    with suppress(TimeoutError), regions.lent(4096):
        pass
    return regions._late


def test_killed(folder):
    """A process that is killed in the middle of a put leaves no entry, or a whole one."""
    torn = int(said(run_writer("kills", f"nixl://posix{folder}", 10)))
    assert torn >= 10, "hardly any kill came in the middle of a write"
    names = [path.stem for path in folder.rglob("*.kv")]
    assert len(names) >= 10
    target = bytearray(disk_writer.CHUNK.nbytes)
    with closing(open_store(f"nixl://posix{folder}", disk_writer.CHUNK, PATIENT)) as store:
        for name in names:
            key = base_key("org/model", 1, 0, name)
            assert store.get_into(key, memoryview(target)), "torn, though only a miss"
            assert target == disk_writer.payload_of(key)
        store.store.eviction.rescan()
    assert not list(folder.rglob("*.part"))


def test_full(folder, store, lines, monkeypatch):
    with disk_of(10 * FILE_BYTES, folder, monkeypatch):
        if not os.path.ismount(folder):
            refuse(monkeypatch, "WRITE")  # the played disk only knows system calls
        assert all(put(store, key) for key in KEYS)
        assert 5 <= hits(store) <= 10
        assert get(store, KEYS[-1]) == PAYLOAD
    assert not [line for line in lines() if "takes no chunks" in line]
    assert store.failures == 0


def test_full_of_other_files(folder, store, lines, monkeypatch):
    with disk_of(10 * FILE_BYTES, folder, monkeypatch):
        if not os.path.ismount(folder):
            refuse(monkeypatch, "WRITE")
        assert put(store, KEYS[0])
        (folder / "foreign").write_bytes(bytes(9 * FILE_BYTES - 4096))  # a block is the marker's
        monkeypatch.setattr("kvtransfer.stores.disk.eviction.DiskEviction.evict", lambda *_: False)
        assert not any(put(store, key) for key in KEYS[1:])
        assert hits(store) == 1
        assert not list(folder.rglob("*.part"))
    assert any("takes no chunks for now" in line for line in lines())
    assert store.failures == 0


def test_read_only(folder, store, lines, monkeypatch):
    assert put(store, KEYS[0])
    assert put(store, KEYS[1])
    with read_only(folder, monkeypatch):
        assert not any(put(store, key) for key in KEYS)
        assert hits(store) == 2
    assert any("Read-only file system" in line for line in lines())
    assert store.failures == 0


def test_damaged(folder):
    backing, chance, misses = NixlBacking(folder), random.Random(1), 0
    with closing(backing.open(CHUNK, PATIENT)) as store:
        assert put(store)
        whole = backing.path(KEY).read_bytes()
        for _ in range(100):
            flipped = bytearray(whole)
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            backing.path(KEY).write_bytes(flipped)
            found = get(store, KEY)
            assert found in (None, PAYLOAD)
            assert backing.path(KEY).exists() == (found is not None)
            misses += found is None
    assert misses > 30  # the rest fell into padding


def test_cut(folder):
    backing, chance = NixlBacking(folder), random.Random(2)
    with closing(backing.open(CHUNK, PATIENT)) as store:
        for _ in range(20):
            assert put(store)
            os.truncate(backing.path(KEY), chance.randrange(FILE_BYTES))
            assert store.contains([KEY]) == [False]
            assert get(store, KEY) is None


def test_cut_while_it_is_read(folder, store, monkeypatch):
    """NIXL only says that it failed; the system call that repeats the read says that it is short."""
    assert put(store)
    begin = Transfer._begin

    def cut(self):
        os.truncate(NixlBacking(folder).path(KEY), FILE_BYTES - 4096)
        return begin(self)

    monkeypatch.setattr(Transfer, "_begin", cut)
    assert get(store, KEY) is None
    assert (store.failures, store.faults) == (0, 0)


@pytest.mark.parametrize("operation", ["READ", "WRITE"])
def test_what_nixl_refuses_is_moved_by_a_system_call(store, lines, monkeypatch, operation):
    refuse(monkeypatch, operation)
    assert put(store)
    assert get(store, KEY) == PAYLOAD
    (line,) = lines()
    assert "NIXL says NIXL_ERR_BACKEND" in line


def test_late(folder, store, monkeypatch):
    """A transfer that doesn't end is a failure in time, and never touches the caller's memory."""
    assert put(store)
    with closing(open_store(f"nixl://posix{folder}", CHUNK, HASTY)) as hasty:
        with monkeypatch.context() as patch:
            hung = hang(patch)
            target = bytearray(b"x" * CHUNK.nbytes)
            with pytest.raises(StoreError, match="no answer in time"):
                hasty.get_into(KEY, memoryview(target))
            assert not put(hasty, OTHER_KEY)
            assert hung.transfers
        assert target == b"x" * CHUNK.nbytes
    assert get(store, KEY) == PAYLOAD
    assert get(store, OTHER_KEY) is None
    assert not list(folder.rglob("*.part"))


def test_late_memory_is_bounded_and_comes_back(folder, store, monkeypatch):
    assert put(store)
    with closing(open_store(f"nixl://posix{folder}", CHUNK, HASTY)) as hasty:
        regions = hasty.store._entries._files._io._regions
        hung = hang(monkeypatch)
        for _ in range(20):
            with pytest.raises(StoreError, match=r"no answer in time|have not ended"):
                get(hasty, KEY)
        assert len(regions._late) == 8
        hung.end()
        wait_until(lambda: not late_after_a_call(regions))


def test_a_late_region_is_not_lent_again(tmp_path, monkeypatch):
    regions = Regions(nixl_agent.posix_agent())
    (tmp_path / "f").write_bytes(PAYLOAD)
    hung = hang(monkeypatch)
    with open(tmp_path / "f", "rb") as file:
        with regions.lent(4096) as late:
            late.begin("READ", file.fileno(), 0, 4096, 0)
        with regions.lent(4096) as other:
            assert other is not late
        hung.end()
        with regions.lent(4096) as first, regions.lent(4096) as second:
            assert {id(first), id(second)} == {id(late), id(other)}
    regions.close()


def test_what_is_late_when_a_store_closes_is_freed_once_it_ends(tmp_path, monkeypatch):
    regions = Regions(nixl_agent.posix_agent())
    (tmp_path / "f").write_bytes(PAYLOAD)
    hung = hang(monkeypatch)
    with open(tmp_path / "f", "rb") as file, regions.lent(4096) as late:
        transfer = late.begin("READ", file.fileno(), 0, 4096, 0)
    regions.close()
    assert regions._late == [late]
    hung.end()
    wait_until(lambda: not regions._late)
    assert transfer.is_over()
    assert bytes(late.memory) == PAYLOAD[:4096]


def test_memory_grows_to_what_is_asked_and_stays(tmp_path):
    regions = Regions(nixl_agent.posix_agent())
    with regions.lent(4096) as small:
        assert len(small.memory) == 4096
    with regions.lent(8192) as grown:
        assert len(grown.memory) == 8192
    with regions.lent(100) as again:
        assert again is grown
    regions.close()


def test_without_io_uring_the_plugin_chooses(tmp_path, monkeypatch):
    create, refused = nixl_agent.nixl_api().nixl_agent.create_backend, []

    def no_uring(self, plugin, options):
        if options:
            refused.append(options)
            raise nixl_errors()[0]("NIXL_ERR_BACKEND")
        create(self, plugin, options)

    monkeypatch.setattr(nixl_agent.nixl_api().nixl_agent, "create_backend", no_uring)
    with closing(open_store(f"nixl://posix{tmp_path}", CHUNK, PATIENT)) as store:
        assert put(store)
        assert get(store, KEY) == PAYLOAD
    assert refused


def test_without_the_plugin_it_is_refused(tmp_path, monkeypatch):
    def refused(*_):
        raise nixl_errors()[0]("NIXL_ERR_NOT_FOUND")

    monkeypatch.setattr(nixl_agent.nixl_api().nixl_agent, "create_backend", refused)
    with pytest.raises(ConfigError, match="POSIX plugin says NIXL_ERR_NOT_FOUND"):
        open_store(f"nixl://posix{tmp_path}", CHUNK, PATIENT)


def test_no_descriptor_and_no_memory_is_left(folder, store):
    assert put(store)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        assert get(store, KEY) == PAYLOAD
        assert put(store, OTHER_KEY)
        store._store.store.remove(OTHER_KEY)
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(store._store.store._entries._files._io._regions._free) == 1


def test_a_transfer_that_failed_has_freed_everything(tmp_path):
    agent = nixl_agent.posix_agent()
    memory = aligned_memory(4096)
    (tmp_path / "f").touch()
    with open(tmp_path / "f", "rb") as file:
        before = len(os.listdir("/proc/self/fd"))
        transfer = Transfer(agent, "READ", file.fileno(), memory, 0)  # memory isn't registered
        assert transfer.is_over()
        assert len(os.listdir("/proc/self/fd")) == before
