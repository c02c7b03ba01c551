import json
from collections import Counter
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.cli import main
from kvtransfer.policies import POLICIES
from kvtransfer.simulate.grid import Machine, grid, pieces_in, replayed
from kvtransfer.simulate.optimum import optimal_hits
from kvtransfer.simulate.replay import Hierarchy, Served, Sizes
from kvtransfer.simulate.request import Request
from kvtransfer.simulate.trace import read_trace

MACHINE = Machine(10, 100, 1000.0, {"host": 1e9, "disk": 1e6, "remote": 1e4})
ONE = MACHINE.groups
chains = st.lists(st.sampled_from(["a", "ab", "abc", "abz", "x", "xy"]), min_size=1, max_size=12)


def hits(requests, slots, policy="learned"):
    hierarchy = Hierarchy(Sizes(slots), policy, ONE)
    return sum(hierarchy.serve(keys).hits.total() for keys in requests)


@given(requests=chains, slots=st.integers(1, 5), policy=st.sampled_from(list(POLICIES)))
def test_no_policy_beats_the_optimum(requests, slots, policy):
    assert hits(requests, slots, policy) <= optimal_hits(requests, slots)


@given(requests=chains)
def test_with_room_for_all_every_policy_is_the_optimum(requests):
    seen, leading = set(), 0
    for keys in requests:
        leading += len([key for key in keys if key in seen])
        seen |= set(keys)
    assert {hits(requests, 6, policy) for policy in POLICIES} == {leading}
    assert optimal_hits(requests, 6) == leading


def test_the_optimum_knows_the_future():
    requests = ["ab", "xy", "ab", "xy", "ab"]
    assert optimal_hits(requests, 2) == 4  # one text stays
    assert optimal_hits(requests, 3) == 5  # and the first chunk of the other, once
    assert hits(requests, 2, "lru") == 0


def test_each_tier_serves_what_those_before_it_lack():
    tiers = Hierarchy(Sizes(host=2, disk=4, remote=8), "lru", ONE)
    assert tiers.serve("abcd").hits == Counter()
    assert tiers.written == Counter(host=2, disk=4, remote=4)
    assert tiers.serve("abcd").hits == Counter(host=2, disk=2)
    tiers.serve("wxyz")  # drives all out of host memory and disk
    assert tiers.serve("abcd").hits == Counter(remote=4)
    assert tiers.written["remote"] == 8


def test_what_is_admitted_is_written_as_it_leaves_host_memory():
    tiers = Hierarchy(Sizes(host=2, remote=8), "lru", ONE, admit_chance=0.05)
    tiers.serve("ab")
    assert tiers.written["remote"] == 0
    tiers.serve("xy")
    assert tiers.written["remote"] == 2
    assert tiers.serve("ab").hits == Counter(remote=2)


def test_what_never_comes_again_is_not_admitted():
    tiers = Hierarchy(Sizes(host=50, remote=100_000), "learned", ONE, admit_chance=0.05)
    for number in range(3000):
        tiers.serve([f"{number}.{i}" for i in range(10)])
    assert 0 < tiers.written["remote"] < 0.2 * 30_000


def test_a_hit_counts_only_behind_hits():
    tiers = Hierarchy(Sizes(host=4), "lru", ONE)
    tiers.serve("bc")
    assert tiers.serve("abc").hits == Counter()


def test_time_saved_is_computing_less_loading_and_never_negative():
    assert MACHINE.saved_s(Served(Counter(host=2), Counter(host=2)), 25) == pytest.approx(
        0.02 - 2 * 1000 / 1e9
    )
    assert MACHINE.saved_tokens(Counter(host=3), 25) == 25
    assert MACHINE.saved_s(Served(Counter(remote=2), Counter(remote=2)), 25) == 0.0


def test_a_grid_is_every_size_under_every_policy():
    requests = [Request(list("abc"), 30), Request(list("abz"), 25)]
    steps = []
    outcomes = list(
        replayed(
            requests,
            grid([1, 3], [0, 2], [0]),
            ["lru", "learned"],
            MACHINE,
            lambda: steps.append(1),
        )
    )
    tried = [(o.sizes.disk, o.sizes.host, o.policy) for o in outcomes]
    assert tried == list(product([0, 2], [1, 3], ["lru", "learned"]))
    assert len(steps) == 16
    assert outcomes[2].hit_rate == outcomes[2].optimal_rate == 2 / 6
    assert (outcomes[2].saved_tokens, outcomes[2].tokens) == (20, 55)


def test_sizes_are_shares_or_gibibytes():
    assert pieces_in("5%", 1000, 1) == 50
    assert pieces_in("1.5", 1000, 2**29) == 3


MOONCAKE = [
    {"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [0, 1]},
    {"timestamp": 1, "input_length": 1400, "output_length": 5, "hash_ids": [0, 1, 2]},
]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_three_kinds_of_trace_are_read_alike(tmp_path):
    ours = [{"tokens": row["input_length"], "hashes": row["hash_ids"]} for row in MOONCAKE]
    table = tmp_path / "trace.csv"
    table.write_text("tokens,hashes\n1000,0 1\n1400,0 1 2\n", encoding="utf-8")
    traces = [
        read_trace(jsonl(tmp_path / "mooncake.jsonl", MOONCAKE)),
        read_trace(jsonl(tmp_path / "ours.jsonl", ours)),
        read_trace(table),
    ]
    assert traces == [[Request(["0", "1"], 1000), Request(["0", "1", "2"], 1400)]] * 3


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_command_prints_a_table_and_draws_the_curve(tmp_path, capsys, ending):
    trace = jsonl(tmp_path / "trace.jsonl", MOONCAKE)
    picture = tmp_path / f"sizes.{ending}"
    sizes = ["--host", "50%,100%", "--disk", "0,1", "--policy", "lru,learned"]
    assert main(["simulate", str(trace), *sizes, "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[8:16]] == ["lru", "learned"] * 4
    assert lines[12].split()[2:4] == ["0.400", "0.400"]
    assert picture.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")


def test_the_old_name_of_a_policy_is_replaced_with_a_warning(tmp_path, capsys):
    trace = jsonl(tmp_path / "trace.jsonl", MOONCAKE)
    assert main(["simulate", str(trace), "--host", "100%", "--policy", "odds,learned"]) == 0
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()[8:9]] == ["learned"]
    assert told.err.rstrip() == "kvtransfer: policy odds is now called learned"
