from __future__ import annotations

import pytest

from kvtransfer.stores.disk.index import DiskIndex
from kvtransfer.stores.disk.listing import Entry


def entry(path, used_s=0.0, nbytes=10):
    return Entry(path, nbytes, used_s)


@pytest.fixture
def index():
    return DiskIndex()


def order(index):
    """What goes first, first; the index is empty afterwards."""
    paths = []
    while (oldest := index.oldest()) is not None:
        paths.append(oldest.path)
        index.remove(oldest.path)
    assert (len(index), index.nbytes) == (0, 0)
    return paths


def test_what_was_used_longest_ago_goes_first(index):
    for path in "abc":
        index.add(entry(path))
    index.add(entry("a", nbytes=12))
    assert (len(index), index.nbytes) == (3, 32)
    assert order(index) == ["b", "c", "a"]


def test_a_listing_tells_what_others_did(index):
    index.add(entry("gone"))
    index.begin_listing()
    index.end_listing([entry("new", 2.0), entry("old", 1.0)])
    assert order(index) == ["old", "new"]


def test_what_happens_during_a_listing_is_known_better(index):
    for path in ("used", "removed"):
        index.add(entry(path))
    index.begin_listing()
    index.add(entry("put"))
    index.add(entry("used"))
    index.remove("removed")
    index.remove("never known")
    listed = [entry("used"), entry("removed"), entry("never known"), entry("other", 9e9)]
    index.end_listing(listed)
    assert index.nbytes == 30
    assert order(index) == ["other", "put", "used"]


def test_a_listing_that_failed_changes_nothing(index):
    index.add(entry("a"))
    index.begin_listing()
    index.add(entry("b"))
    index.end_listing(None)
    assert order(index) == ["a", "b"]
