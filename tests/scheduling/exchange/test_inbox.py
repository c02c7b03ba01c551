from __future__ import annotations

import numpy as np

from kvtransfer.passages.space import Space
from kvtransfer.scheduling.exchange.inbox import Inbox

SPACE = Space.of(b"a")


def learned(count):
    return SPACE, np.zeros(count, np.int32)


def test_everything_is_taken_once_in_order():
    inbox = Inbox(1000)
    assert inbox.add(learned(1)) == inbox.add(learned(2)) == 0
    assert [len(token_ids) for _, token_ids in inbox.take()] == [1, 2]
    assert inbox.take() == []


def test_the_oldest_are_dropped_for_the_newest():
    inbox = Inbox(40)
    assert [inbox.add(learned(count)) for count in (3, 3, 4, 7)] == [0, 0, 0, 3]
    assert [len(token_ids) for _, token_ids in inbox.take()] == [7]
    assert [inbox.add(learned(count)) for count in (5, 5, 1)] == [0, 0, 1]
