from __future__ import annotations

import pytest

from kvtransfer.metrics import COUNTERS, DURATIONS, GAUGES, TENANT_GAUGES, Metrics


@pytest.mark.parametrize("names", [COUNTERS, DURATIONS, GAUGES, TENANT_GAUGES])
def test_each_says_what_it_tells(names):
    assert all(meaning.endswith(".") and name.islower() for name, meaning in names.items())


def test_counts_are_summed_and_durations_kept_apart():
    metrics = Metrics()
    for amount in (1, 2):
        metrics.add("put_bytes", amount)
        metrics.add("put_seconds", amount)
    metrics.add("put_failed_chunks", 0)
    assert metrics.take() == {"put_bytes": 3, "put_seconds": [1, 2]}
    assert metrics.take() == {}


def test_a_gauge_is_shown_until_it_was_at_zero_once():
    metrics = Metrics()
    waiting, more = [], []
    metrics.watch("waiting_puts", waiting.__len__)
    metrics.watch("waiting_puts", more.__len__)
    assert metrics.take() == {}
    waiting.append("one")
    more.append("another")
    assert [metrics.take(), metrics.take()] == [{"waiting_puts": 2}] * 2
    waiting.clear()
    more.clear()
    assert [metrics.take(), metrics.take()] == [{"waiting_puts": 0}, {}]


def test_a_gauge_of_tenants_is_shown_until_all_were_at_zero_once():
    metrics, held = Metrics(), {"none": 0, "other": 0}
    metrics.watch_tenants("tenant_host_bytes", lambda: held)
    assert metrics.take() == {}
    held["other"] = 7
    assert metrics.take() == {"tenant_host_bytes": {"none": 0, "other": 7}}
    held["other"] = 0
    assert metrics.take() == {"tenant_host_bytes": {"none": 0, "other": 0}}
    assert metrics.take() == {}


def test_nobody_makes_up_a_name():
    with pytest.raises(ValueError, match="nonsense"):
        Metrics().add("nonsense")
    with pytest.raises(ValueError, match="put_bytes is not a gauge"):
        Metrics().watch("put_bytes", int)
    with pytest.raises(ValueError, match="put_bytes is not a gauge of tenants"):
        Metrics().watch_tenants("put_bytes", dict)
