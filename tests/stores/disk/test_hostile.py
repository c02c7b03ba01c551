"""Foreign things in the store's folder: each costs the entry in whose place it lies."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk import claim
from kvtransfer.stores.disk.claim import MARKER
from kvtransfer.stores.disk.names import new_temporary
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.stores.disk.another_user import IS_ANOTHER, NOBODY, keys_of_another_user
from tests.stores.disk.disk_backing import DiskBacking
from tests.stores.disk.disk_writer import key_of

FILE_BYTES = 12_288


@pytest.fixture
def backing(tmp_path):
    return DiskBacking(tmp_path / "chunks")


@pytest.fixture
def inner(backing):
    return backing.open(CHUNK, StoreSettings())


@pytest.fixture
def store(inner):
    with closing(GuardedStore(inner, inner.store.address)) as opened:
        assert put(opened, OTHER_KEY)
        yield opened


def put(store, key):
    return store.put(key, memoryview(PAYLOAD))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        before = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        try:
            listening.bind(path.name)
        finally:
            os.chdir(before)


PLANTED = {
    "fifo": os.mkfifo,
    "socket": make_socket,
    "loop": lambda path: path.symlink_to(path.name),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "huge": lambda path: path.write_bytes(b"") or os.truncate(path, 1 << 40),
    "empty": Path.touch,
}


def serves_others(store):
    """What was planted opens no circuit breaker, for reads or for writes."""
    assert get(store, OTHER_KEY) == PAYLOAD
    assert put(store, key_of(os.urandom(8)))
    assert (store.failures, store.refused) == (0, 0)


@pytest.mark.parametrize("kind", PLANTED)
def test_what_lies_in_place_of_a_chunk_is_a_miss_and_is_replaced(store, backing, kind):
    backing.path(KEY).parent.mkdir(parents=True)
    for _ in range(4):
        PLANTED[kind](backing.path(KEY))
        assert store.contains([KEY, OTHER_KEY]) == [False, True]
        assert get(store, KEY) is None
        assert not os.path.lexists(backing.path(KEY))
    PLANTED[kind](backing.path(KEY))
    assert put(store, KEY)
    assert get(store, KEY) == PAYLOAD
    serves_others(store)


@pytest.mark.parametrize(
    ("kind", "depth"), [("folder", 0), *((kind, depth) for kind in PLANTED for depth in range(3))]
)
def test_what_lies_in_place_of_a_folder_costs_what_would_lie_in_it(store, backing, kind, depth):
    key = KEY.replace("org", "another")
    place = [backing.path(key), *backing.path(key).parents][depth]
    place.parent.mkdir(parents=True, exist_ok=True)
    (Path.mkdir if kind == "folder" else PLANTED[kind])(place)
    for _ in range(4):
        assert store.contains([key, OTHER_KEY]) == [False, True]
        if kind == "folder" or depth:
            assert get(store, key) is None
            assert not put(store, key)
    assert put(store, key) is (kind != "folder" and not depth)
    assert os.path.lexists(place)
    serves_others(store)


@pytest.mark.parametrize("depth", [1, 2])
def test_nothing_is_deleted_or_written_through_a_link(store, inner, backing, tmp_path, depth):
    key = KEY.replace("org", "another")
    link = backing.path(key).parents[depth - 1]
    elsewhere = tmp_path / "elsewhere"
    target = elsewhere / backing.path(key).relative_to(link)
    target.parent.mkdir(parents=True)
    target.write_bytes(b"somebody's")
    abandoned = target.with_name(new_temporary(target.name))
    abandoned.write_bytes(b"somebody's")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere, target_is_directory=True)
    os.utime(target, (1, 1))
    assert get(store, key) is None
    assert not put(store, key)
    inner.store.eviction.rescan()
    inner.store.eviction.evict(1 << 40)
    assert sorted(elsewhere.rglob("*.*")) == sorted([target, abandoned])
    assert target.read_bytes() == abandoned.read_bytes() == b"somebody's"
    assert put(store, OTHER_KEY)
    serves_others(store)


NAMES = [
    "notes.txt", ".tmp/somebody's", "a/b/c.kv", "a/b/" + "0" * 32 + ".kv",
    "org%2Fmodel@2@1/zz/x.kv", "org%2Fmodel@2@1/aa/" + "A" * 32 + ".kv",
    "org%2Fmodel@2@1/aa/" + "b" * 32 + ".kv", "org%2Fmodel@2@1/aa/" + "a" * 31 + ".kv",
    "org%2Fmodel@2@1/aa/" + "a" * 32 + ".kv.bak", "org%2Fmodel@2@1/" + "a" * 32 + ".kv",
    "org%2Fmodel@2@1/aa/host@1@0011223344556677", "org%2Fmodel@2@x/aa/" + "a" * 32 + ".kv",
]  # fmt: skip


def test_files_with_other_names_than_ours_are_never_touched(store, inner, backing):
    for name in NAMES:
        path = backing.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"somebody's")
        os.utime(path, (1, 1))
    inner.store.eviction.rescan()
    assert len(inner.store.eviction) == 1
    inner.store.eviction.evict(1 << 40)
    assert [(backing.root / name).read_bytes() for name in NAMES] == [b"somebody's"] * len(NAMES)
    assert not backing.path(OTHER_KEY).exists()


def test_a_folder_of_somebody_else_is_refused_and_left_as_it_is(backing):
    backing.root.mkdir()
    (backing.root / "thesis.tex").write_bytes(b"somebody's")
    with pytest.raises(ConfigError, match=r"holds 'thesis.tex', .* name an empty or a new folder"):
        backing.open(CHUNK, StoreSettings())
    assert [path.name for path in backing.root.iterdir()] == ["thesis.tex"]


def test_a_folder_that_somebody_fills_before_its_first_use_is_left_as_it_is(backing):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        planted = backing.path(KEY)
        planted.parent.mkdir(parents=True)
        planted.write_bytes(b"somebody's")
        (backing.root / "thesis.tex").touch()
        assert not put(store, OTHER_KEY)
        assert get(store, KEY) is None
        assert planted.read_bytes() == b"somebody's"


@pytest.mark.parametrize("is_adopted", ["empty", "of earlier versions", "a new disk"])
def test_a_folder_with_nothing_but_ours_becomes_ours(backing, is_adopted):
    if is_adopted == "of earlier versions":
        with closing(backing.open(CHUNK, StoreSettings())) as store:
            assert put(store, KEY)
        (backing.root / MARKER).unlink()
        (backing.root / ".tmp").mkdir()
    else:
        backing.root.mkdir()
    if is_adopted == "a new disk":
        (backing.root / "lost+found").mkdir()
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        assert put(store, KEY)
        assert get(store, KEY) == PAYLOAD
    assert (backing.root / MARKER).is_file()


def test_temporaries_go_with_their_writers_only(store, inner, backing):
    inner.store.eviction.close()  # the listing that the first put began has ended
    path = backing.path(OTHER_KEY)
    now_s = backing.now_s
    dead, alive, elsewhere, old = (path.with_name(new_temporary(path.name)) for _ in range(4))
    elsewhere, old = (_of_another_machine(name) for name in (elsewhere, old))
    for temporary, age_s in ((dead, 0), (alive, 9000), (elsewhere, 60), (old, 4000)):
        temporary.write_bytes(b"half")
        os.utime(temporary, (now_s - age_s,) * 2)
    with alive.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        inner.store.eviction.rescan()
    assert sorted(path.parent.glob("*.part")) == sorted([alive, elsewhere])


def _of_another_machine(path):
    chunk, _, rest, end = path.name.split(".")
    return path.with_name(f"{chunk}.{'0' * 32}.{rest}.{end}")


def test_what_is_being_written_is_locked_until_it_has_its_name(store, inner, backing):
    with inner.store._folder.made() as folder:
        relative = str(backing.path(KEY).relative_to(backing.root))
        with folder.new_file(relative) as file:
            inner.store.eviction.rescan()
            os.write(file.fd, b"x")
            file.publish()
            assert backing.path(KEY).read_bytes() == b"x"
    assert not list(backing.root.rglob("*.part"))


def in_common(folder):
    return closing(FormattedStore(DiskStore(str(folder), StoreSettings()), CHUNK))


def test_a_folder_of_a_group_is_shared_by_its_users(common):
    if IS_ANOTHER:
        os.chown(common, 0, NOBODY)
    common.chmod(0o2770)
    with in_common(common) as store:
        assert put(store, KEY)
    assert keys_of_another_user(common, "get", KEY) == [KEY]
    assert keys_of_another_user(common, "put", OTHER_KEY, KEY) == [OTHER_KEY, KEY]
    backing = DiskBacking(common)
    for key in (KEY, OTHER_KEY):
        assert backing.path(key).stat().st_mode & 0o7777 == 0o660
        assert backing.path(key).parent.stat().st_mode & 0o7777 == 0o2770
    with in_common(common) as store:
        assert get(store, OTHER_KEY) == PAYLOAD
    backing.path(KEY).write_bytes(b"damaged")
    assert keys_of_another_user(common, "get", KEY) == []
    assert not backing.path(KEY).exists()  # the other user may clean up


def test_a_private_chunk_is_a_miss_for_another_user_and_costs_it_nothing_else(common):
    with in_common(common) as store:
        assert put(store, KEY)
    folder = DiskBacking(common).path(KEY).parent
    for path in (folder, folder.parent):
        path.chmod(0o755)
    another = KEY.replace("org", "another")
    taken = keys_of_another_user(common, "put", KEY, KEY, KEY, another)
    assert taken[-1] == another
    had = keys_of_another_user(common, "get", KEY, KEY, KEY, another)
    assert had == [another] if IS_ANOTHER else [KEY, KEY, KEY, another]
    with in_common(common) as store:
        assert get(store, KEY) == PAYLOAD


def test_chunks_that_may_not_be_deleted_count_and_are_kept(store, inner, backing, monkeypatch):
    monkeypatch.setattr(inner.store.eviction, "_limit_bytes", 2 * FILE_BYTES)
    assert put(store, KEY)
    monkeypatch.setattr(os, "unlink", _refuse)
    assert not put(store, key_of("new"))
    assert store.contains([KEY, OTHER_KEY]) == [True, True]
    assert inner.store.eviction.nbytes == 2 * FILE_BYTES


def _refuse(*_, **__):
    raise PermissionError(1, "Operation not permitted")


def test_two_that_mark_a_new_folder_at_once_both_may(tmp_path, monkeypatch):
    scandir = os.scandir

    def overtaken(root):
        """Another process marks the folder after we have looked for the marker."""
        (tmp_path / MARKER).touch()
        return scandir(root)

    monkeypatch.setattr(claim.os, "scandir", overtaken)
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        claim.claim(root, str(tmp_path))
    finally:
        os.close(root)
    assert (tmp_path / MARKER).exists()
