"""What is asked of a server: on a condition where it matters, and as seldom as may be."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.chunks.keys import base_key
from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.objects.bucket import PART_BYTES, Bucket
from kvtransfer.stores.objects.store import ObjectStore
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.testing import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults import proxy as line

CALLS = ("head", "read", "write", "create", "renew", "remove")
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
        monkeypatch.setattr(Bucket, name, noting(name, getattr(Bucket, name)))
    return names


def test_a_new_chunk_takes_two_requests_and_a_hit_one(backing, asked):
    with closing(backing.open(CHUNK, StoreSettings())) as store:
        store.expect_puts([KEY])
        assert store.put(KEY, memoryview(PAYLOAD))
        assert asked == ["head", "create"]
        asked.clear()
        assert get(store, KEY) == PAYLOAD
        assert asked == ["read"]
        asked.clear()
        assert store.put(KEY, memoryview(PAYLOAD))
        assert asked == ["read"]


def test_many_keys_are_looked_for_at_once(backing):
    with closing(backing.open(CHUNK, StoreSettings(timeout_s=60))) as store:
        held = KEYS[::7]
        assert all(store.put(key, memoryview(PAYLOAD)) for key in held)
        assert store.contains(KEYS) == [key in held for key in KEYS]


def test_one_lookup_that_fails_fails_all(server, backing, monkeypatch):
    head = Bucket.head

    async def failing(bucket, path):
        if "11" in path:
            raise StoreError("no answer")
        return await head(bucket, path)

    monkeypatch.setattr(Bucket, "head", failing)
    with (
        closing(backing.open(CHUNK, StoreSettings(timeout_s=60))) as store,
        pytest.raises(StoreError, match="no answer"),
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
        assert asked == ["create", "read"]
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


def test_a_long_object_is_written_in_parts(backing):
    content = bytes(2 * PART_BYTES + 1)
    with closing(backing.entries(StoreSettings(timeout_s=60))) as store:
        store.expect_puts([KEY])
        assert store.put(KEY, memoryview(content), ChunkFacts.of(CHUNK, "naive"))
    name = backing.name(KEY)
    etag = backing.client.head_object(Bucket=backing.bucket, Key=name)["ETag"]
    assert etag.rstrip('"').endswith("-3")  # as S3 marks an object of three parts


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
    async def refused(bucket, path):
        raise StoreError("no right")

    monkeypatch.setattr(Bucket, "renew", refused)
    with closing(backing.open(CHUNK, StoreSettings(ttl_s=100, refresh_ttl=True))) as store:
        store.put(KEY, memoryview(PAYLOAD))
        backing.elapse(60)
        assert get(store, KEY) == PAYLOAD


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
