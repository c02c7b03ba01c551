from __future__ import annotations

from functools import partial

import pytest

from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.shelf import Shelf
from tests.stores.feeds.feed_contract import PLENTY, TOPIC, FeedContract


@pytest.fixture
def open_feed():
    return partial(MemoryFeed, Shelf())


class TestMemoryFeed(FeedContract):
    pass


def test_the_oldest_go(open_feed):
    feed = open_feed()
    late = feed.reader(TOPIC)
    assert late.read(PLENTY) == []
    for at in range(3000):
        feed.append(TOPIC, b"%d" % at)
    kept = [b"%d" % at for at in range(3000 - 1024, 3000)]
    assert feed.reader(TOPIC).read(PLENTY) == late.read(PLENTY) == kept
