import pytest

from benchmarks.bench_operate import TOPOLOGIES, VERBS, measure


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_each_verb_finds_what_there_is_on_each_topology(topology):
    rows = measure(topology, 300)
    assert [row.case.split("/")[0] for row in rows] == ["idle", *VERBS]
    assert all(row.value > 0 and row.more["PING p99 ms"] > 0 for row in rows)
