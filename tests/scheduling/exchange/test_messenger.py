from __future__ import annotations

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.passages.announcement import encode
from kvtransfer.passages.space import Space
from kvtransfer.scheduling.exchange.counts import ExchangeCounts
from kvtransfer.scheduling.exchange.messenger import Messenger
from kvtransfer.stores.feeds.guarded import GuardedFeed
from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.shelf import Shelf

SPACE, OTHER_SPACE = Space.of(b"a"), Space.of(b"b")


class End:
    """A messenger, and what it has learned."""

    def __init__(self, feed):
        self.counts = ExchangeCounts()
        self.messenger = Messenger(GuardedFeed(feed), self.counts)

    def read(self, space=SPACE):
        learned = []
        self.messenger.read(space, learned.append)
        assert all(found == space for found, _ in learned)
        return [token_ids.tolist() for _, token_ids in learned]


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def ends(shelf):
    return End(MemoryFeed(shelf)), End(MemoryFeed(shelf))


def test_one_learns_what_the_other_announces(ends):
    here, there = ends
    here.messenger.append(SPACE, [1, 2])
    here.messenger.append(OTHER_SPACE, [3])
    assert there.read() == [[1, 2]]
    assert there.read(OTHER_SPACE) == [[3]]
    assert here.read() == there.read() == []
    assert (here.counts.published, there.counts.learned) == (2, 2)


def test_what_is_known_isnt_announced_again(ends, shelf):
    here, there = ends
    here.messenger.append(SPACE, [1, 2])
    here.messenger.append(SPACE, [1, 2])
    there.read()
    there.messenger.append(SPACE, [1, 2])
    assert here.counts.repeated == there.counts.repeated == 1
    assert len(shelf.feeds[SPACE.digest.hex()]) == 1


def test_what_was_not_sent_is_announced_when_it_is_saved_again(shelf):
    class Failing(MemoryFeed):
        fails = True

        def append(self, topic, payload):
            if self.fails:
                raise StoreError("full")
            super().append(topic, payload)

    feed = Failing(shelf)
    end = End(feed)
    end.messenger.append(SPACE, [1, 2])
    feed.fails = False
    end.messenger.append(SPACE, [1, 2])
    assert (end.counts.unsent, end.counts.published) == (1, 1)


def test_what_makes_no_sense_is_counted_and_passed_over(ends, shelf):
    here, there = ends
    topic = SPACE.digest.hex()
    MemoryFeed(shelf).append(topic, b"nonsense")
    MemoryFeed(shelf).append(topic, encode(OTHER_SPACE, [4]))
    here.messenger.append(SPACE, [-1])
    here.messenger.append(SPACE, [1, 2])
    assert there.read() == [[1, 2]]
    assert (here.counts.malformed, there.counts.malformed) == (1, 2)


def test_many_spaces_are_followed_with_a_bounded_number_of_readers(ends):
    here, there = ends
    here.messenger.append(SPACE, [1, 2])
    assert there.read() == [[1, 2]]
    for at in range(100):
        assert there.read(Space.of(b"%d" % at)) == []
    here.messenger.append(SPACE, [3])
    assert there.read() == [[3]]  # read from the newest on again, and [1, 2] is known
