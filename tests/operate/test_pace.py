import pytest

from kvtransfer.operate.pace import Pace
from tests.fake_clock import FakeClock


class Sleeper:
    def __init__(self):
        self.clock = FakeClock()
        self.slept_s = 0.0

    def sleep(self, seconds):
        self.slept_s += seconds
        self.clock.now_s += seconds

    def pace(self, per_s):
        return Pace(per_s, self.clock, self.sleep)


def test_many_units_take_as_long_as_they_may():
    sleeper = Sleeper()
    assert list(sleeper.pace(100).each(range(1000))) == list(range(1000))
    assert sleeper.slept_s == pytest.approx(10, abs=0.02)


def test_a_large_unit_holds_up_the_next_one():
    sleeper = Sleeper()
    pace = sleeper.pace(100)
    pace.spend(500)
    assert sleeper.slept_s == 0
    pace.spend(1)
    assert sleeper.slept_s == pytest.approx(5)


def test_time_that_passed_without_units_is_not_made_up_for():
    sleeper = Sleeper()
    pace = sleeper.pace(10)
    sleeper.clock.now_s += 1000
    for _ in range(11):
        pace.spend(1)
    assert sleeper.slept_s == pytest.approx(1)


def test_no_rate_is_no_bound():
    sleeper = Sleeper()
    pace = sleeper.pace(0)
    for _ in range(1000):
        pace.spend(1 << 40)
    assert sleeper.slept_s == 0
