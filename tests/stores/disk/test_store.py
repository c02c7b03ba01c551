from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kvtransfer.chunks.keys import base_key
from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.disk.claim import MARKER
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.disk import disk_writer
from tests.stores.disk.disk_backing import DiskBacking
from tests.stores.seals.seal_contract import SealContract

ROOT = Path(__file__).parents[3]


@pytest.fixture
def backing(tmp_path):
    return DiskBacking(tmp_path / "chunks")


class TestDiskStore(StoreContract):
    pass


class TestEntriesOnDisk(EntryContract):
    pass


class TestSealsOnDisk(SealContract):
    pass


def test_a_file_moved_to_another_chunks_name_is_a_miss(store, backing):
    store.put(KEY, memoryview(PAYLOAD))
    backing.path(OTHER_KEY).parent.mkdir()
    backing.path(KEY).rename(backing.path(OTHER_KEY))
    assert store.contains([KEY, OTHER_KEY]) == [False, True]
    assert get(store, OTHER_KEY) is None
    assert not backing.path(OTHER_KEY).exists()


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)


def run_writer(*arguments):
    """The writer's script, begun; a fresh interpreter, as forks must come before threads."""
    command = [sys.executable, "-m", "tests.stores.disk.disk_writer", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def said(writer):
    out, err = writer.communicate(timeout=600)
    assert writer.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("settings", [disk_writer.PATIENT, StoreSettings(ttl_s=1000)])
def test_a_restart_finds_everything(tmp_path, settings):
    keys = [disk_writer.key_of(i) for i in range(30)]
    with closing(FormattedStore(DiskStore(str(tmp_path), settings), CHUNK)) as store:
        assert all(store.put(key, memoryview(PAYLOAD)) for key in keys)
        put_bytes = store.store.eviction.nbytes
    with closing(FormattedStore(DiskStore(str(tmp_path), settings), CHUNK)) as store:
        assert all(store.contains(keys))
        assert {get(store, key) for key in keys} == {PAYLOAD}
        store.store.eviction.rescan()
        assert (len(store.store.eviction), store.store.eviction.nbytes) == (30, put_bytes)


def test_no_kill_leaves_a_torn_chunk(tmp_path):
    torn = int(said(run_writer("kills", f"disk://{tmp_path}", 30)))
    assert torn >= 30, "hardly any kill came in the middle of a write"
    names = [path.stem for path in files(tmp_path) if path.suffix == ".kv"]
    assert len(names) >= 30
    target = bytearray(disk_writer.CHUNK.nbytes)
    with closing(
        FormattedStore(DiskStore(str(tmp_path), disk_writer.PATIENT), disk_writer.CHUNK)
    ) as store:
        for name in names:
            key = base_key("org/model", 1, 0, name)
            assert store.get_into(key, memoryview(target)), "torn, though only a miss"
            assert target == disk_writer.payload_of(key)
        store.store.eviction.rescan()
    assert not list(tmp_path.rglob("*.part"))


def test_processes_share_a_folder(tmp_path):
    limit_bytes = 25 * 70_000
    url = f"disk://{tmp_path}?max_gib={limit_bytes / 2**30}"
    writers = [run_writer("share", url, seed, 300) for seed in range(3)]
    hits = [int(said(writer)) for writer in writers]
    assert min(hits) > 30
    held_bytes = sum(path.stat().st_size for path in files(tmp_path))
    # Each may put a sixteenth that the others haven't seen, and a chunk besides.
    assert held_bytes < limit_bytes * (1 + 3 / 16) + 3 * 70_000


def test_the_least_recently_used_goes_first_whichever_process_used_it(tmp_path):
    names = [disk_writer.key_of(i) for i in range(6)]
    backing = DiskBacking(tmp_path, limit_bytes=5 * 12_288)
    with (
        closing(backing.open(CHUNK, disk_writer.PATIENT)) as store,
        closing(backing.open(CHUNK, disk_writer.PATIENT)) as other,
    ):
        for key in names[:5]:
            store.put(key, memoryview(PAYLOAD))
            backing.elapse(10)
        assert get(store, names[0]) == PAYLOAD
        backing.elapse(10)
        assert get(other, names[1]) == PAYLOAD  # only the file's atime tells
        backing.elapse(10)
        store.put(names[5], memoryview(PAYLOAD))
        assert store.contains(names) == [True, True, False, True, True, True]
        assert store.store.eviction.evicted == 1
    with closing(backing.open(CHUNK, disk_writer.PATIENT)) as restarted:
        restarted.store.eviction.rescan()
        restarted.put(names[2], memoryview(PAYLOAD))
        assert restarted.contains(names) == [True, True, True, False, True, True]


def test_an_entry_that_another_process_evicts_is_no_hit(tmp_path):
    backing = DiskBacking(tmp_path, limit_bytes=2 * 12_288)
    with closing(backing.open(CHUNK, disk_writer.PATIENT)) as store:
        for key in (KEY, OTHER_KEY):
            store.put(key, memoryview(PAYLOAD))
        backing.path(KEY).unlink()
        backing.path(OTHER_KEY).unlink()
        assert get(store, KEY) is None
        for i in range(5):
            assert store.put(disk_writer.key_of(i), memoryview(PAYLOAD))
        assert len(files(tmp_path)) == 2
        assert store.store.eviction.nbytes == 2 * 12_288


def test_a_flip_anywhere_is_a_miss_or_harms_nothing(tmp_path):
    backing, chance = DiskBacking(tmp_path), random.Random(1)
    with closing(backing.open(CHUNK, disk_writer.PATIENT)) as store:
        store.put(KEY, memoryview(PAYLOAD))
        whole = backing.path(KEY).read_bytes()
        misses = 0
        for _ in range(400):
            flipped = bytearray(whole)
            flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            backing.path(KEY).write_bytes(flipped)
            found = get(store, KEY)
            assert found in (None, PAYLOAD)
            assert backing.path(KEY).exists() == (found is not None)
            misses += found is None
        assert misses > 150  # the rest fell into padding


def test_a_file_cut_anywhere_is_a_miss(tmp_path):
    backing, chance = DiskBacking(tmp_path), random.Random(2)
    with closing(backing.open(CHUNK, disk_writer.PATIENT)) as store:
        for _ in range(50):
            assert store.put(KEY, memoryview(PAYLOAD))
            os.truncate(backing.path(KEY), chance.randrange(12_288))
            assert store.contains([KEY]) == [False]
            assert get(store, KEY) is None


def test_a_chunk_under_another_ones_name_is_a_miss(tmp_path):
    backing = DiskBacking(tmp_path)
    with closing(backing.open(CHUNK, disk_writer.PATIENT)) as store:
        store.put(KEY, memoryview(PAYLOAD))
        backing.path(OTHER_KEY).parent.mkdir()
        backing.path(KEY).rename(backing.path(OTHER_KEY))
        assert get(store, OTHER_KEY) is None


def test_a_long_or_odd_model_name_fits_a_file_system(tmp_path):
    names = ["a" * 400, "a" * 399 + "b", "../../up", "日本語" * 40, ".tmp", "x/y", "x%2Fy", "x@y"]
    keys = [base_key(name, 1, 0, "0" * 32) for name in names]
    with closing(
        FormattedStore(DiskStore(str(tmp_path / "in"), disk_writer.PATIENT), CHUNK)
    ) as store:
        for i, key in enumerate(keys):
            assert store.put(key, memoryview(bytes([i]) * CHUNK.nbytes))
        assert [get(store, key)[0] for key in keys] == list(range(len(keys)))
        store.store.eviction.rescan()
        assert len(store.store.eviction) == len(keys)
    assert files(tmp_path) == files(tmp_path / "in")


@pytest.mark.parametrize(
    "rest", ["", "/", "host/x", "/x?max_gib=", "/x?max_gib=a", "/x?max_gib=inf", "/x?size=1"]
)
@pytest.mark.parametrize("scheme", ["disk", "file"])
def test_a_malformed_url_is_refused(scheme, rest):
    with pytest.raises(ConfigError, match=f"{scheme}:///path"):
        open_store(f"{scheme}://{rest}", CHUNK, disk_writer.PATIENT)


def test_a_url_names_folder_and_limit(tmp_path):
    url = f"disk://{tmp_path}/with%20blank?max_gib=0.001"
    with closing(open_store(url, CHUNK, disk_writer.PATIENT)) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
    assert files(tmp_path / "with blank")
    with pytest.raises(ConfigError, match="a chunk takes 12288; raise max_local_storage_size"):
        open_store(f"disk://{tmp_path}/small?max_gib=1e-6", CHUNK, disk_writer.PATIENT)
