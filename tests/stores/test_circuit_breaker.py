from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.stores.circuit_breaker import CircuitBreaker

FIRST_S, LONGEST_S, IN_A_ROW = 0.5, 30.0, 3


def down(now_s=0.0):
    breaker = CircuitBreaker()
    for _ in range(IN_A_ROW):
        assert breaker.allows(now_s)
        breaker.failed(now_s)
    return breaker


def test_two_failures_are_not_enough():
    breaker = CircuitBreaker()
    breaker.failed(0.0)
    breaker.failed(0.0)
    assert breaker.allows(0.0)
    assert not breaker.is_open


def test_failures_count_in_a_row_only():
    breaker = CircuitBreaker()
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.allows(0.0)


def test_cooldowns_double_up_to_the_longest():
    breaker, now_s, cooldowns_s = down(), 0.0, []
    for expected_s in (0.5, 1, 2, 4, 8, 16, 30, 30):
        assert not breaker.allows(now_s + expected_s - 0.01)
        assert breaker.allows(now_s + expected_s)
        now_s += expected_s
        cooldowns_s.append(expected_s)
        breaker.failed(now_s)
    assert not breaker.allows(now_s + LONGEST_S - 0.01)


def test_one_probe_goes_through_and_its_success_closes():
    breaker = down()
    assert [breaker.allows(FIRST_S) for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert [breaker.allows(FIRST_S) for _ in range(3)] == [True] * 3


def test_a_success_begins_the_cooldowns_anew():
    breaker = down()
    for now_s in (1.0, 3.0, 10.0):
        assert breaker.allows(now_s)
        breaker.failed(now_s)
    breaker.succeeded()
    for _ in range(IN_A_ROW):
        breaker.failed(20.0)
    assert not breaker.allows(20.0 + FIRST_S - 0.01)
    assert breaker.allows(20.0 + FIRST_S)


def test_failures_of_calls_begun_before_it_opened_lengthen_nothing():
    breaker = down()
    for _ in range(20):
        breaker.failed(0.1)
    assert breaker.allows(FIRST_S)


def test_a_lost_probe_is_followed_by_another():
    breaker = down()
    assert breaker.allows(FIRST_S)
    assert not breaker.allows(FIRST_S)
    assert breaker.allows(2 * FIRST_S)


steps = st.tuples(st.floats(0, 40), st.sampled_from(["ask", "succeed", "fail"]))


@given(st.lists(steps, max_size=200))
def test_any_history(history):
    breaker, now_s, in_a_row, last_probe_s = CircuitBreaker(), 0.0, 0, None
    for wait_s, event in history:
        now_s += wait_s
        if event == "succeed":
            breaker.succeeded()
            in_a_row, last_probe_s = 0, None
            assert breaker.allows(now_s)
        elif event == "fail":
            breaker.failed(now_s)
            in_a_row += 1
        else:
            allowed = breaker.allows(now_s)
            assert allowed or in_a_row >= IN_A_ROW
            if allowed and in_a_row >= IN_A_ROW:
                assert last_probe_s is None or now_s - last_probe_s >= FIRST_S
                last_probe_s = now_s
    assert breaker.allows(now_s + LONGEST_S)
