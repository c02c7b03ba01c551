from __future__ import annotations

import pytest

from kvtransfer.passages.space import Space
from kvtransfer.scheduling.exchange.followed import Followed

A, B, C = (Space.of(name) for name in (b"a", b"b", b"c"))


@pytest.fixture
def followed():
    return Followed(2, poll_s=1.0, unused_s=10.0)


def test_a_space_is_read_at_once_and_then_each_second(followed):
    assert followed.use(A, 0.0)
    assert followed.wait_s(0.0) == 0.0
    assert followed.begin_due(0.0) == [A]
    assert not followed.use(A, 0.25)
    assert followed.begin_due(0.25) == []
    assert followed.wait_s(0.25) == 0.75
    assert followed.begin_due(1.0) == [A]


def test_a_space_that_isnt_used_rests_until_it_is_used_again(followed):
    followed.use(A, 0.0)
    followed.begin_due(0.0)
    assert followed.begin_due(10.0) == []
    assert followed.wait_s(10.0) is None
    assert followed.use(A, 20.0)
    assert followed.begin_due(20.0) == [A]


def test_the_least_recently_used_is_forgotten(followed):
    for space, now_s in ((A, 0.0), (B, 1.0), (A, 2.0), (C, 3.0)):
        followed.use(space, now_s)
    assert followed.begin_due(4.0) == [A, C]
    assert followed.use(B, 5.0)


def test_without_spaces_there_is_nothing_to_wait_for(followed):
    assert followed.begin_due(0.0) == []
    assert followed.wait_s(0.0) is None
