from __future__ import annotations

import numpy as np

from kvtransfer.passages.space import Space
from kvtransfer.scheduling.exchange.known import Known

SPACE = Space.of(b"a")


def ids(*token_ids):
    return np.array(token_ids, np.int32)


def test_equal_tokens_of_one_space_are_known():
    known = Known(8)
    assert not known.has(SPACE, ids(1, 2))
    assert known.note(SPACE, ids(1, 2))
    assert known.has(SPACE, ids(1, 2))
    assert not known.note(SPACE, ids(1, 2))
    assert not known.has(SPACE, ids(1, 2, 3))
    assert not known.has(Space.of(b"b"), ids(1, 2))


def test_the_last_are_remembered():
    known = Known(2)
    for each in (1, 2, 1, 3):
        known.note(SPACE, ids(each))
    assert [known.has(SPACE, ids(each)) for each in (1, 2, 3)] == [True, False, True]
