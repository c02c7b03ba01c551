from __future__ import annotations

import os
import time
from contextlib import closing
from functools import partial

import pytest
import redis

from kvtransfer.errors import PartError, StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.redis.store import RedisStore
from kvtransfer.stores.redis.stream import stream_name
from tests.stores.feeds.feed_contract import OTHER_TOPIC, PLENTY, TOPIC, FeedContract
from tests.stores.redis import cluster as clusters
from tests.stores.redis import sentinel as sentinels
from tests.stores.redis.servers import BINARIES, PASSWORD, Server, redis_binary

PATIENT = StoreSettings(timeout_s=30.0)
NAME = stream_name(TOPIC)


@pytest.fixture(scope="module", params=BINARIES)
def running(request, tmp_path_factory):
    server = Server(BINARIES[request.param](), tmp_path_factory.mktemp("feed"))
    yield server
    server.kill()


@pytest.fixture
def client(running):
    with running.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
        yield client


class TestFeedOnAServer(FeedContract):
    @pytest.fixture
    def open_feed(self, running, client):
        return partial(RedisStore.open_feed, running.url, PATIENT)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with clusters.running(redis_binary(), tmp_path_factory.mktemp("cluster")) as running:
        yield running


class TestFeedInACluster(FeedContract):
    @pytest.fixture
    def open_feed(self, cluster):
        cluster.flush()
        return partial(RedisStore.open_feed, cluster.url, PATIENT)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with sentinels.running(redis_binary(), tmp_path_factory.mktemp("sentinel")) as running:
        yield running


class TestFeedBehindSentinel(FeedContract):
    @pytest.fixture
    def open_feed(self, stack):
        with redis.Redis(port=stack.current_master().port, password=PASSWORD) as client:
            client.flushall()
        return partial(RedisStore.open_feed, stack.url, PATIENT)


@pytest.fixture
def feed(running, client):
    with closing(RedisStore.open_feed(running.url, PATIENT)) as feed:
        yield feed


def test_the_stream_is_no_entry(running, feed):
    feed.append(TOPIC, b"1")
    with closing(open_entries(running.url, PATIENT)) as store:
        assert list(store.entries()) == []


def test_about_a_thousand_are_kept_for_a_week(feed, client):
    for at in range(3000):
        feed.append(TOPIC, b"%d" % at)
    assert 1024 <= client.xlen(NAME) < 1200
    assert 0 < client.ttl(NAME) <= 7 * 24 * 3600
    assert feed.reader(TOPIC).read(PLENTY)[-1] == b"2999"


def test_the_time_to_live_of_entries_is_that_of_the_stream(running, client):
    settings = StoreSettings(timeout_s=30.0, ttl_s=100)
    with closing(RedisStore.open_feed(running.url, settings)) as feed:
        feed.append(TOPIC, b"1")
    assert 0 < client.ttl(NAME) <= 100


def test_a_stream_that_was_dropped_begins_anew(feed, client):
    reader = feed.reader(TOPIC)
    feed.append(TOPIC, b"1")
    assert reader.read(PLENTY) == [b"1"]
    client.delete(NAME)
    assert reader.read(PLENTY) == []
    time.sleep(0.01)  # ids count milliseconds, and a stream may begin anew with the last one's
    feed.append(TOPIC, b"2")
    assert reader.read(PLENTY) == [b"2"]


def test_foreign_entries_are_passed_over(feed, client):
    client.xadd(NAME, {"theirs": "1"})
    feed.append(TOPIC, b"1")
    client.xadd(NAME, {"p": "", "q": "2"})
    feed.append(TOPIC, b"2")
    reader = feed.reader(TOPIC)
    assert reader.read(PLENTY) == [b"1", b"2"]
    client.xadd(NAME, {"theirs": "3"})
    assert reader.read(PLENTY) == []


def test_a_value_of_another_type_fails(feed, client):
    client.set(NAME, "theirs")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        feed.append(TOPIC, b"1")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        feed.reader(TOPIC).read(PLENTY)


def test_a_payload_that_is_too_long_costs_its_topic_only(feed, client):
    feed.append(TOPIC, b"1")
    client.xadd(NAME, {"p": os.urandom(9 << 20)})
    feed.append(OTHER_TOPIC, b"2")
    with pytest.raises(PartError, match="too long"):
        feed.reader(TOPIC).read(PLENTY)
    assert feed.reader(OTHER_TOPIC).read(PLENTY) == [b"2"]


def test_a_full_server_takes_nothing_and_is_read(feed, client):
    feed.append(TOPIC, b"1")
    client.config_set("maxmemory", 1)
    with pytest.raises(PartError, match="maxmemory"):
        feed.append(TOPIC, b"2")
    assert feed.reader(TOPIC).read(PLENTY) == [b"1"]


def test_no_secret_is_in_the_error_of_a_dead_server(tmp_path):
    server = Server(redis_binary(), tmp_path)
    with closing(RedisStore.open_feed(server.url, StoreSettings())) as feed:
        feed.append(TOPIC, b"1")
        server.kill()
        with pytest.raises(StoreError) as raised:
            feed.append(TOPIC, b"2")
    assert PASSWORD not in str(raised.value)
