from __future__ import annotations

from tests.faults.fuzz_replies import broken

SEED = 20260101
CASES = 3000


def test_nothing_that_a_server_says_breaks_a_promise():
    assert list(broken(CASES, SEED)) == []
