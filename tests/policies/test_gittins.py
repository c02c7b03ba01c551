"""The Gittins index against its definition, and the counts that it is computed from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.policies.gittins import _WIDTHS, AGES, GittinsTable, _gittins

hazards = st.lists(st.floats(0.001, 0.999), min_size=AGES, max_size=AGES)


def ratio(hazards, begin, end):
    """Expected hits over expected room and time of a chunk kept from age ``begin`` to ``end``."""
    hits, room, survival = 0.0, 0.0, 1.0
    for age in range(begin, end + 1):
        hits += survival * hazards[age]
        room += survival * _WIDTHS[age] * (1.0 - hazards[age] / 2)
        survival *= 1.0 - hazards[age]
    return hits / room


@given(hazards)
def test_the_index_is_the_largest_ratio_over_all_stopping_times(hazards):
    for age, index in enumerate(_gittins(hazards)):
        best = max(ratio(hazards, age, end) for end in range(age, AGES))
        assert index == pytest.approx(best, rel=1e-9)


def test_a_kind_that_returns_has_the_higher_index_and_reuse_probability():
    table = GittinsTable(2)
    for kind, hits in enumerate((10, 900)):
        table.count_arrivals(kind, 0, 1000)
        table.count_hits(kind, 0, hits)
    for kind in (0, 1):
        table.update(kind)
    assert table.index(1)[0] > table.index(0)[0]
    assert table.reuse_probability(1)[0] > table.reuse_probability(0)[0]


def test_counts_decay_with_each_update():
    table = GittinsTable(1)
    table.count_arrivals(0, 0, 1000)
    table.count_hits(0, 0, 900)
    table.update(0)
    first = table.index(0)[0]
    for _ in range(600):
        table.update(0)
    assert table.index(0)[0] < 0.7 * first
