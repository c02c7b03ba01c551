"""When an object is over, and when it is worth the requests to renew it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.objects.lifetime import Lifetime, age_s

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def lifetime(**settings):
    return Lifetime(StoreSettings(**settings), lambda modified: (NOW - modified).total_seconds())


def before(seconds):
    return NOW - timedelta(seconds=seconds)


def test_an_object_is_over_when_its_time_is():
    assert not lifetime(ttl_s=100).is_over(before(99))
    assert lifetime(ttl_s=100).is_over(before(100))
    assert not lifetime().is_over(before(10**9))


def test_a_clock_that_is_behind_the_servers_ends_nothing():
    assert not lifetime(ttl_s=1).is_over(before(-1000))


def test_it_is_renewed_in_the_second_half():
    assert not lifetime(ttl_s=100).is_half_over(before(49))
    assert lifetime(ttl_s=100).is_half_over(before(50))
    assert not lifetime().is_half_over(before(10**9))


def test_a_hit_renews_it_where_that_is_set():
    assert not lifetime(ttl_s=100).is_renewed_by_hit(before(60))
    assert lifetime(ttl_s=100, refresh_ttl=True).is_renewed_by_hit(before(60))
    assert not lifetime(ttl_s=100, refresh_ttl=True).is_renewed_by_hit(before(40))


def test_ages_are_by_the_clock_of_this_machine():
    assert 3600 <= age_s(datetime.now(UTC) - timedelta(hours=1)) < 7200
