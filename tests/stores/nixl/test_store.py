from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores import open_store
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.nixl.store import NixlStore
from kvtransfer.stores.open import open_entries
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, EntryContract, StoreContract, get
from tests.stores.disk import disk_writer
from tests.stores.disk.disk_writer import PATIENT
from tests.stores.disk.file.test_direct_io import MIB, chunk_of, filled, slot
from tests.stores.disk.test_store import run_writer, said
from tests.stores.nixl.nixl_backing import NixlBacking
from tests.stores.seals.seal_contract import SealContract


@pytest.fixture
def backing(tmp_path):
    return NixlBacking(tmp_path / "chunks")


class TestNixlStore(StoreContract):
    pass


class TestEntriesOfNixl(EntryContract):
    pass


class TestSealsOfNixl(SealContract):
    pass


def url_of(folder, query=""):
    return f"nixl://posix{folder}{query}"


def put(store, key=KEY):
    return store.put(key, memoryview(PAYLOAD))


@pytest.mark.parametrize(
    ("writer", "reader"), [("nixl://posix", "disk://"), ("disk://", "nixl://posix")]
)
def test_what_one_store_wrote_the_other_reads(tmp_path, writer, reader):
    with closing(open_store(f"{writer}{tmp_path}", CHUNK, PATIENT)) as store:
        assert put(store)
    with closing(open_store(f"{reader}{tmp_path}", CHUNK, PATIENT)) as store:
        assert store.contains([KEY]) == [True]
        assert get(store, KEY) == PAYLOAD


def test_processes_share_a_folder_with_those_of_a_disk(tmp_path):
    limit = f"?max_gib={25 * 70_000 / 2**30}"
    urls = [url_of(tmp_path, limit), url_of(tmp_path, limit), f"disk://{tmp_path}{limit}"]
    writers = [run_writer("share", url, seed, 200) for seed, url in enumerate(urls)]
    assert min(int(said(writer)) for writer in writers) > 20


@pytest.mark.parametrize("nbytes", [1, 4096, 5 * MIB + 17, 9 * MIB])
def test_a_chunk_of_any_length_comes_back(tmp_path, nbytes):
    payload, target = filled(nbytes), slot(nbytes)
    with closing(open_store(url_of(tmp_path), chunk_of(nbytes), PATIENT)) as store:
        for _ in range(2):
            assert store.put(KEY, payload)
            assert store.get_into(KEY, target)
            assert target == payload
            store.store.remove(KEY)


def test_many_threads_use_one_store(tmp_path):
    keys = [disk_writer.key_of(i) for i in range(32)]

    def put_and_get(key):
        payload = disk_writer.payload_of(key)
        target = bytearray(disk_writer.CHUNK.nbytes)
        assert store.put(key, memoryview(payload))
        assert store.get_into(key, memoryview(target))
        return target == payload

    with (
        closing(open_store(url_of(tmp_path), disk_writer.CHUNK, PATIENT)) as store,
        ThreadPoolExecutor(8) as threads,
    ):
        assert all(threads.map(put_and_get, keys * 4))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nixl://posix", "write nixl://posix/path or"),
        ("nixl://posix/", "write nixl://posix/path or"),
        ("nixl://posix/x?max_gib=a", "max_gib=100"),
        ("nixl://posix/x?size=1", "max_gib=100"),
        ("nixl:///x", "posix is the only one: write nixl://posix/path"),
        ("nixl://obj/bucket", "posix is the only one"),
        ("nixl://ucx/host", "posix is the only one"),
        ("nixl://me:s3cret@posix/x", r"nixl://me:\*\*\*@posix/x"),
    ],
)
def test_a_malformed_url_is_refused(url, sentence):
    with pytest.raises(ConfigError, match=sentence) as refused:
        check_stores(TransferConfig.of(remote_url=url))
    assert "s3cret" not in str(refused.value)


def test_a_library_that_is_not_installed_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "nixl._api", None)
    for refused in (NixlStore.check, NixlStore.open):
        with pytest.raises(ConfigError, match=r"pip install '.\[nixl\]'"):
            refused(url_of(tmp_path), PATIENT)


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "theirs").touch()
    with pytest.raises(ConfigError, match="theirs"):
        open_entries(url_of(tmp_path), PATIENT)


def test_a_url_names_folder_and_limit(tmp_path):
    with closing(open_store(url_of(tmp_path / "in", "?max_gib=1"), CHUNK, PATIENT)) as store:
        assert store.store.address == f"nixl://posix{tmp_path}/in"
        assert put(store)
    with pytest.raises(ConfigError, match="max_gib"):
        open_store(url_of(tmp_path / "in", "?max_gib=1e-6"), CHUNK, PATIENT)


def test_passages_are_announced_in_the_folder(tmp_path):
    feed = NixlStore.open_feed(url_of(tmp_path), PATIENT)
    with closing(feed):
        feed.append("ab", b"tokens")
        assert feed.reader("ab").read(100) == [b"tokens"]
