"""What is asked of a server: on a condition where it matters, and as seldom as may be."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.chunks.keys import base_key
from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.objects.calls import BucketCalls
from kvtransfer.stores.objects.store import ObjectStore
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.testing import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults import proxy as line

CALLS = ("heads", "headers", "read", "write", "create", "renew", "remove")
KEYS = [base_key("org/model", 1, 0, f"{i:032x}") for i in range(300)]


@pytest.fixture
def asked(monkeypatch):
    """The names of requests, in order."""
    names = []

    def noting(name, call):
        def noted(*arguments, **options):
            names.append(name)
            return call(*arguments, **options)

        return noted

    for name in CALLS:
        monkeypatch.setattr(BucketCalls, name, noting(name, getattr(BucketCalls, name)))
    return names


def test_a_new_chunk_takes_two_requests_and_a_hit_one(backing, asked):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        store.expect_puts([KEY])
        assert store.put(KEY, memoryview(PAYLOAD))
        assert asked == ["heads", "create"]
        asked.clear()
        assert get(store, KEY) == PAYLOAD
        assert asked == ["read"]
        asked.clear()
        assert store.put(KEY, memoryview(PAYLOAD))
        assert asked == ["headers"]


def test_many_keys_are_looked_for_at_once(backing):
    with closing(backing.open(CHUNK, StoreSettings(timeout_s=60))) as store:
        held = KEYS[::7]
        assert all(store.put(key, memoryview(PAYLOAD)) for key in held)
        assert store.contains(KEYS) == [key in held for key in KEYS]


def test_one_lookup_that_fails_fails_all(server, backing):
    proxy = line.Proxy(server.port)

    def refusing(carried, way, data):
        if way == line.REQUEST and f"/{KEYS[11][-32:]}".encode() in data:
            carried.send(line.REPLY, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            raise line.Broken
        carried.send(way, data)

    proxy.follow(refusing)
    url = server.url(backing.prefix, proxy.port)
    with (
        closing(proxy),
        closing(ObjectStore(url, StoreSettings(timeout_s=60))) as store,
        pytest.raises(StoreError, match="credentials"),
    ):
        store.contains(KEYS)


def test_what_another_has_put_meanwhile_is_kept(backing, asked):
    with (
        closing(backing.open(CHUNK, StoreSettings())) as store,
        closing(backing.open(CHUNK, StoreSettings())) as other,
    ):
        store.expect_puts([KEY])
        other.put(KEY, memoryview(PAYLOAD))
        theirs = backing.whole(KEY)
        asked.clear()
        assert store.put(KEY, memoryview(PAYLOAD[::-1]))
        assert asked == ["create", "headers"]
        assert backing.whole(KEY) == theirs


def test_what_is_there_but_no_entry_is_replaced(backing):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        for rubbish in (b"", b"x", b"x" * 20_000):
            backing.replace(KEY, rubbish)
            store.expect_puts([KEY])
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD


def test_a_server_that_writes_on_no_condition_is_written_to_without(server, backing):
    proxy = line.Proxy(server.port)
    url = server.url(backing.prefix, proxy.port)

    def refusing(carried, way, data):
        if way == line.REQUEST and b"if-none-match" in data.lower():
            carried.send(line.REPLY, b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n")
            raise line.Broken
        carried.send(way, data)

    proxy.follow(refusing)
    with closing(proxy), closing(ObjectStore(url, StoreSettings(timeout_s=60))) as store:
        for key in (KEY, OTHER_KEY):
            store.expect_puts([key])
            assert store.put(key, memoryview(PAYLOAD), ChunkFacts.of(CHUNK, "naive"))
            assert store.stat(key) is not None


def test_renewing_leaves_one_object(backing, asked):
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        backing.elapse(40)
        store.put(KEY, memoryview(PAYLOAD))
        assert "renew" not in asked  # more than half of its time is left
        backing.elapse(20)
        store.put(KEY, memoryview(PAYLOAD))
        assert asked[-1] == "renew"
        assert backing.names() == [backing.name(KEY)]


def test_a_hit_that_can_not_be_renewed_is_a_hit(backing, monkeypatch):
    def refused(calls, path):
        raise StoreError("no right")

    monkeypatch.setattr(BucketCalls, "renew", refused)
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100, refresh_ttl=True))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        backing.elapse(60)
        assert get(store, KEY) == PAYLOAD


def test_shorter_forms_of_many_chunks_are_found_by_their_records(backing):
    facts = ChunkFacts.of(CHUNK, "lossless")
    with closing(backing.entries(StoreSettings(timeout_s=60))) as store:
        for key in KEYS[:70]:
            store.put(key, memoryview(PAYLOAD[:100]), facts)
        backing.set_fields(KEYS[7], None)
        held = store.contains(KEYS[:75], lambda key: CHUNK.nbytes)
        assert held == [i != 7 and i < 70 for i in range(75)]


def test_who_only_looks_removes_nothing(backing):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        store.put(KEY, memoryview(PAYLOAD))
        store.put(OTHER_KEY, memoryview(PAYLOAD))
    backing.set_payload(OTHER_KEY, PAYLOAD[::-1])
    looking = StoreSettings(ttl_s=100, refresh_ttl=True, only_reads=True)
    with closing(backing.open(CHUNK, looking)) as store:
        assert get(store, OTHER_KEY) is None
        backing.elapse(200)
        assert store.contains([KEY, OTHER_KEY]) == [False, False]
        assert get(store, KEY) is None
    assert len(backing.names()) == 2


def test_objects_without_a_record_are_orphans(backing):
    with closing(backing.entries(StoreSettings())) as store:
        for key in (KEY, OTHER_KEY, ABSENT_KEY):
            store.put(key, memoryview(PAYLOAD), ChunkFacts.of(CHUNK, "naive"))
        backing.set_fields(OTHER_KEY, None)
        backing.replace(ABSENT_KEY, b"")
        assert sorted(store.orphans()) == sorted([OTHER_KEY, ABSENT_KEY])
        assert [entry.key for entry in store.entries()] == [KEY]


def test_a_listing_may_be_left_early(backing):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        for key in (KEY, OTHER_KEY):
            store.put(key, memoryview(PAYLOAD))
        assert next(store.store.entries()).key in (KEY, OTHER_KEY)
        assert get(store, KEY) == PAYLOAD


def test_what_others_keep_in_the_bucket_stays(backing):
    names = [f"{backing.prefix}/notes.txt", f"{backing.prefix}s/x", f"{backing.prefix}/a/b/c.kv"]
    for name in names:
        backing.client.put_object(Bucket=backing.bucket, Key=name, Body=b"theirs" * 2000)
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        backing.elapse(200)
        assert list(store.store.entries()) == []
        assert store.contains([KEY, ABSENT_KEY]) == [False, False]
        assert get(store, KEY) is None
    assert sorted(backing.names()) == sorted(names)
