from __future__ import annotations

import os
from contextlib import closing
from functools import partial

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.names import new_temporary
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.feeds.folder import FolderFeed
from kvtransfer.stores.feeds.interface import MOST_PAYLOAD_BYTES
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.stores.feeds.feed_contract import OTHER_TOPIC, PLENTY, TOPIC, FeedContract


@pytest.fixture
def root(tmp_path):
    return tmp_path / "chunks"


@pytest.fixture
def open_feed(root):
    return partial(FolderFeed, str(root))


@pytest.fixture
def feed(open_feed):
    return open_feed()


class TestFolderFeed(FeedContract):
    pass


def files(root, topic=TOPIC):
    return sorted((root / "passages" / topic).iterdir())


def test_entries_and_feeds_dont_see_each_other(root, feed):
    for at in range(20):
        feed.append(TOPIC, bytes(4096) + b"%d" % at)
    with closing(DiskStore(str(root), StoreSettings(), limit_bytes=64 << 10)) as entries:
        entries.eviction.rescan()
        assert entries.eviction.nbytes == 0
        store = FormattedStore(entries, CHUNK)
        assert store.put(KEY, memoryview(PAYLOAD))
        assert [entry.key for entry in entries.entries()] == [KEY]
        while entries.eviction.evict(1):
            pass
        assert get(store, KEY) is None
    assert len(feed.reader(TOPIC).read(PLENTY)) == 20


def test_the_oldest_of_all_topics_go(open_feed, root):
    feed = open_feed(most_files=30)
    for at in range(64):
        feed.append(OTHER_TOPIC if at < 33 else TOPIC, b"%d" % at)
    assert open_feed().reader(TOPIC).read(PLENTY) == [b"%d" % at for at in range(33, 64)]
    assert len(open_feed().reader(OTHER_TOPIC).read(PLENTY)) < 16
    for at in range(32):
        feed.append(TOPIC, b"%d" % at)
    assert [path.name for path in (root / "passages").iterdir()] == [TOPIC]
    assert len(files(root)) <= 30 + 16


def test_bytes_are_limited_too(open_feed, root):
    feed = open_feed(most_bytes=10_000)
    for _ in range(33):
        feed.append(TOPIC, bytes(1000))
    assert len(files(root)) == 10


def test_a_file_that_appears_late_is_read(feed, root):
    reader = feed.reader(TOPIC)
    feed.append(TOPIC, b"late")
    (path,) = files(root)
    aside = root / path.name
    path.rename(aside)
    feed.append(TOPIC, b"early")
    assert reader.read(PLENTY) == [b"early"]
    aside.rename(path)
    assert reader.read(PLENTY) == [b"late"]
    assert reader.read(PLENTY) == []


def test_foreign_things_are_passed_over(feed, root):
    feed.append(TOPIC, b"ours")
    folder = root / "passages" / TOPIC
    (folder / "notes.txt").write_text("somebody else's")
    (folder / ("0" * 32)).mkdir()
    os.mkfifo(folder / ("1" * 32))
    (folder / ("2" * 32)).symlink_to("/etc/passwd")
    (folder / ("3" * 32)).write_bytes(b"")
    with (folder / ("4" * 32)).open("wb") as giant:
        giant.truncate(MOST_PAYLOAD_BYTES + 1)
    (root / "passages" / OTHER_TOPIC).symlink_to(folder)
    assert feed.reader(TOPIC).read(PLENTY) == [b"ours"]
    assert feed.reader(OTHER_TOPIC).read(PLENTY) == []
    assert (folder / "notes.txt").exists()


def test_what_a_dead_writer_left_goes(feed, root):
    feed.append(TOPIC, b"ours")
    left = root / "passages" / TOPIC / new_temporary("5" * 32)
    left.write_bytes(b"half")
    assert feed.reader(TOPIC).read(PLENTY) == [b"ours"]
    assert not left.exists()


def test_a_foreign_folder_is_not_written_to(feed, root):
    root.mkdir()
    (root / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        feed.append(TOPIC, b"1")
    assert [path.name for path in root.iterdir()] == ["thesis.tex"]


def test_a_folder_that_isnt_one_fails_as_a_store(root, feed):
    root.write_text("a file")
    with pytest.raises(StoreError, match="disk://"):
        feed.append(TOPIC, b"1")
    with pytest.raises(StoreError, match="disk://"):
        feed.reader(TOPIC).read(PLENTY)


def test_nothing_is_read_or_deleted_in_a_folder_that_isnt_ours(feed, root):
    folder = root / "passages" / TOPIC
    folder.mkdir(parents=True)
    theirs = [folder / new_temporary("5" * 32), folder / ("6" * 32)]
    for path in theirs:
        path.write_bytes(b"theirs")
    assert feed.reader(TOPIC).read(PLENTY) == []
    assert all(path.exists() for path in theirs)
