from __future__ import annotations

import logging
import os
import time
from contextlib import ExitStack, closing, contextmanager
from threading import Event

import numpy as np
import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.passages.announcement import MOST_TOKENS
from kvtransfer.passages.space import Space
from kvtransfer.scheduling.exchange.exchange import Exchange
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.feeds.open import open_feed
from kvtransfer.stores.shelf import Shelf

SPACE, OTHER_SPACE = Space.of(b"a"), Space.of(b"b")
IDS = list(range(4711, 8711))


def until(condition, timeout_s=120.0):
    deadline_s = time.monotonic() + timeout_s
    while not (said := condition()):
        assert time.monotonic() < deadline_s, f"still not so after {timeout_s} s: {condition}"
        time.sleep(0.01)
    return said


def opened(config, shelf=None):
    return closing(Exchange(open_feed(config, shelf), poll_s=0.02))


def taken(exchange, count=1):
    """The next ``count`` sequences that are learned, as lists."""
    learned = []

    def is_enough():
        learned.extend(exchange.take())
        return len(learned) >= count

    until(is_enough)
    return [(space, token_ids.tolist()) for space, token_ids in learned]


@pytest.fixture(params=["redis", "folder", "memory"])
def ends(request, tmp_path):
    """Two exchanges over one store."""
    with ExitStack() as stack:
        if request.param == "redis":
            server = stack.enter_context(EmbeddedServer(64 << 20))
            config = TransferConfig.of(remote_url=server.url, remote_timeout_ms=30_000)
        elif request.param == "folder":
            config = TransferConfig.of(
                local_storage=str(tmp_path / "chunks"), max_local_storage_size=1.0
            )
        else:
            config = TransferConfig.of(remote_url="memory://")
        shelf = Shelf()
        here, there = (stack.enter_context(opened(config, shelf)) for _ in range(2))
        yield here, there


def test_each_learns_what_the_other_saves_before_and_after_it_follows(ends):
    here, there = ends
    here.publish(SPACE, IDS)
    here.publish(OTHER_SPACE, IDS[:100])
    until(lambda: here.counts.published == 2)
    there.follow(SPACE)
    assert taken(there) == [(SPACE, IDS)]
    here.follow(SPACE)
    here.publish(SPACE, np.array(IDS[100:], np.int32))
    assert taken(there) == [(SPACE, IDS[100:])]
    there.publish(SPACE, IDS[200:])
    assert taken(here) == [(SPACE, IDS[200:])]  # and nothing of its own
    there.follow(OTHER_SPACE)
    assert taken(there) == [(OTHER_SPACE, IDS[:100])]
    assert there.failures == here.failures == 0


def test_what_was_learned_is_not_announced(ends):
    here, there = ends
    here.publish(SPACE, IDS)
    until(lambda: here.counts.published)
    there.follow(SPACE)
    taken(there)
    there.publish(SPACE, IDS)
    until(lambda: there.counts.repeated)
    assert there.counts.published == 0


def test_a_caller_may_change_its_tokens_at_once(ends):
    here, there = ends
    ids = np.array(IDS, np.int32)
    here.publish(SPACE, ids)
    ids[:] = 0
    there.follow(SPACE)
    assert taken(there) == [(SPACE, IDS)]


def test_closing_sends_what_is_queued(ends):
    here, there = ends
    for at in range(8):
        here.publish(SPACE, IDS[at:])
    here.close()
    there.follow(SPACE)
    assert len(taken(there, 8)) == 8
    here.publish(SPACE, [1])
    assert here.counts.dropped == 1


def test_a_store_that_dies_costs_announcements_alone(caplog):
    config = TransferConfig.of
    with EmbeddedServer(64 << 20) as server, opened(config(remote_url=server.url)) as exchange:
        exchange.follow(SPACE)
        exchange.publish(SPACE, IDS)
        until(lambda: exchange.counts.published)
        server.close()
        until(lambda: exchange.failures >= 3)
        for at in range(8):
            exchange.publish(SPACE, IDS[at + 1 :])
        until(lambda: exchange.counts.unsent == 8)
        assert exchange.take() == []
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 1
    assert "passages aren't exchanged" in lines[0].getMessage()
    assert "4711" not in caplog.text.replace(server.url, "")


class Stuck(MemoryFeed):
    """A feed that answers no call until it may, and then fails those that it is told to."""

    def __init__(self):
        super().__init__(Shelf())
        self.is_asked = Event()
        self.may_answer = Event()
        self.error = None

    def append(self, topic, payload):
        self.is_asked.set()
        assert self.may_answer.wait(120.0)
        if self.error is not None:
            raise self.error
        super().append(topic, payload)


@contextmanager
def stuck(**options):
    feed = Stuck()
    with closing(Exchange(feed, poll_s=0.02, **options)) as exchange:
        try:
            exchange.publish(SPACE, [1])
            assert feed.is_asked.wait(120.0)
            yield feed, exchange
        finally:
            feed.may_answer.set()


def test_a_full_queue_drops_and_waits_for_nothing():
    with stuck(most_outgoing=4) as (feed, exchange):
        for at in range(10):
            exchange.publish(SPACE, [at, at])
        exchange.follow(SPACE)
        assert exchange.take() == []
        assert exchange.counts.dropped == 6
        feed.may_answer.set()
        until(lambda: exchange.counts.published == 5)


@pytest.mark.parametrize("error", [StoreError("no answer"), RuntimeError("a bug")])
def test_the_thread_outlives_every_error(error):
    with stuck() as (feed, exchange):
        feed.error = error
        feed.may_answer.set()
        until(lambda: exchange.counts.unsent)
        feed.error = None
        exchange.publish(SPACE, [2])
        until(lambda: exchange.counts.published)
        assert exchange.failures == 1


def test_no_log_line_quotes_a_token(caplog):
    caplog.set_level(logging.DEBUG)
    with opened(TransferConfig.of(remote_url="memory://")) as exchange:
        for ids in ([-4711], [2**90 + 4711], ["4711"], [4711.5], []):
            exchange.publish(SPACE, ids)
        until(lambda: exchange.counts.malformed == 5)
    assert "4711" not in caplog.text


def test_a_giant_is_announced_by_its_beginning():
    shelf = Shelf()
    config = TransferConfig.of(remote_url="memory://")
    with opened(config, shelf) as here, opened(config, shelf) as there:
        here.publish(SPACE, np.zeros(MOST_TOKENS + 1, np.int32))
        there.follow(SPACE)
        ((_, token_ids),) = taken(there)
        assert len(token_ids) == MOST_TOKENS


@pytest.mark.parametrize("setting", ["integrity_key_file", "encryption_key_file"])
def test_keyed_stores_exchange_among_those_who_have_the_key(tmp_path, setting):
    for name in ("key", "another"):
        path = tmp_path / name
        path.touch(0o600)
        path.write_text(os.urandom(32).hex())
    shelf = Shelf()
    ours = TransferConfig.of(remote_url="memory://", **{setting: str(tmp_path / "key")})
    theirs = TransferConfig.of(remote_url="memory://", **{setting: str(tmp_path / "another")})
    with opened(ours, shelf) as here, opened(ours, shelf) as there, opened(theirs, shelf) as other:
        other.publish(SPACE, IDS)
        until(lambda: other.counts.published)
        here.publish(SPACE, IDS[1:])
        there.follow(SPACE)
        assert taken(there) == [(SPACE, IDS[1:])]
        assert there.counts.learned == 1


def test_an_exchange_is_opened_where_there_is_a_store(tmp_path):
    assert Exchange.open(TransferConfig.of()) is None
    shelf = Shelf()
    with closing(Exchange.open(TransferConfig.of(remote_url="memory://"), shelf)) as exchange:
        exchange.publish(SPACE, IDS)
    assert shelf.feeds.keys() == {SPACE.digest.hex()}
    folder = tmp_path / "chunks"
    both = {"local_storage": str(folder), "max_local_storage_size": 1.0}
    with closing(Exchange.open(TransferConfig.of(**both))) as exchange:
        exchange.publish(SPACE, IDS)
    assert len(list((folder / "passages" / SPACE.digest.hex()).iterdir())) == 1
    with pytest.raises(ConfigError):
        Exchange.open(TransferConfig.of(remote_url="redis://host:6379/0?nonsense=1"))
