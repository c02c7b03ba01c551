import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.scheduling.cost.model import Cost, Prefill
from kvtransfer.scheduling.cost.runs import Run

TOKENS = st.integers(1, 100_000)


def test_context_makes_prefill_dearer():
    prefill = Prefill()
    for context in (0, 512, 1024, 1536) * 3:
        prefill.observe(512, context, 512 * (0.001 + 1e-6 * (context + 256)))
    whole = prefill.seconds(2048, 0)
    assert whole == pytest.approx(2048 * (0.001 + 1e-6 * 1024), rel=0.01)
    assert prefill.seconds(512, 1536) > prefill.seconds(512, 0)


def learnt(load_token_s, compute_token_s=0.001, margin=1.0):
    cost = Cost(("store",), margin)
    for tokens in (256, 512, 1024):
        cost.prefill.observe(tokens, 0, tokens * compute_token_s)
        cost.observe_mix({"store": tokens}, tokens * load_token_s)
    return cost


def pays(cost, tokens, tier="store"):
    return cost.worth([Run(tier, tokens)], 0) == tokens


def decide(cost):
    """Whether a request loads 512 tokens; it goes by the answer."""
    return cost.decide([Run("store", 512)], 0) == 512


def test_what_nobody_knows_is_tried():
    cost = Cost(("store",), 1.0)
    assert pays(cost, 256)
    cost.prefill.observe(256, 0, 1e-9)
    assert pays(cost, 256)


@pytest.mark.parametrize(
    ("load_token_s", "margin", "is_faster"),
    [(0.0009, 1.0, True), (0.0011, 1.0, False), (0.0011, 1.2, True), (0.0013, 1.2, False)],
)
def test_the_faster_way_wins_by_the_margin(load_token_s, margin, is_faster):
    assert pays(learnt(load_token_s, margin=margin), 512) is is_faster


def test_two_slow_failures_in_a_row_are_enough():
    cost = learnt(0.0001)
    for is_tried in (True, False):
        cost.observe_mix({"store": 512}, 0.3, failed_tier="store")
        assert pays(cost, 512) is is_tried


def test_a_tier_that_only_failed_is_not_tried_for_long():
    cost = Cost(("store",), 1.1)
    cost.prefill.observe(1024, 0, 4.4)
    for is_tried in (True, False):
        cost.observe_mix({"store": 1024}, 2.1, failed_tier="store")
        assert pays(cost, 1024) is is_tried


def test_what_is_not_there_after_all_costs_nothing():
    cost = learnt(0.0001, margin=1.1)
    for _ in range(10):
        cost.observe_mix({"store": 512}, 0.001, failed_tier="store")
        assert pays(cost, 512)


def test_a_refused_tier_comes_back_when_it_is_clearly_better():
    cost = learnt(0.0011)
    assert not decide(cost)
    for _ in range(60):
        cost.observe_mix({"store": 256}, 256 * 0.0009)
    assert not decide(cost)  # better, but not by much: no swinging
    for _ in range(60):
        cost.observe_mix({"store": 256}, 256 * 0.0005)
    assert decide(cost)
    assert not cost.take_probe("store", 1e9)


def test_probes_get_rarer_while_nothing_changes():
    cost = learnt(0.1)
    assert not cost.take_probe("store", 0.0)
    assert not decide(cost)
    asked = [second for second in range(3600) if cost.take_probe("store", float(second))]
    assert asked[:5] == [0, 2, 6, 14, 30]
    assert len(asked) <= 3600 / 60 + 6


@given(st.lists(st.tuples(st.booleans(), st.floats(0.5, 2.0)), max_size=200))
def test_noise_around_the_limit_does_not_make_it_waver(noise):
    cost = learnt(0.001 * 0.9)
    changes, last = 0, decide(cost)
    for _, factor in noise:
        if last:  # it is used, so it is seen; the noise is the machine's
            seconds = 512 * 0.0009 * (0.95 + 0.1 * (factor - 0.5) / 1.5)
            cost.observe_mix({"store": 512}, seconds)
        is_used = decide(cost)
        changes, last = changes + (is_used != last), is_used
    assert changes <= 1


@given(st.lists(st.tuples(TOKENS, TOKENS, st.floats(0, 1e3)), max_size=20), st.booleans())
def test_asking_changes_no_answer(asked, is_refused):
    cost, unasked = (learnt(0.0011 if is_refused else 0.00095) for _ in range(2))
    for judge in (cost, unasked):
        decide(judge)
    for tokens, context_tokens, wait_s in asked:
        cost.worth([Run("store", tokens)], context_tokens, wait_s)
    for tokens in (1, 256, 512, 100_000):
        assert pays(cost, tokens) == pays(unasked, tokens)
    assert cost.take_probe("store", 1e9) == unasked.take_probe("store", 1e9) == is_refused


TIERS = {"host": (0.001, 1e-6), "disk": (0.003, 2e-5), "remote": (0.01, 8e-5)}
"""Seconds to begin, and seconds a token."""
RUNS = st.lists(st.builds(Run, st.sampled_from(list(TIERS)), TOKENS), max_size=6)


def seconds_of(mix):
    return sum(TIERS[tier][0] + TIERS[tier][1] * tokens for tier, tokens in mix.items() if tokens)


def a_mix(chance):
    kinds = chance.sample(list(TIERS), chance.randint(1, 3))
    return {tier: 256 * chance.randint(1, 20) for tier in kinds}


def of_three(compute_token_s=5e-5, seen=200):
    """A judge that has learned of three tiers from mixes alone."""
    cost, chance = Cost(tuple(TIERS), 1.0), random.Random(0)
    for tokens in (256, 512, 1024):
        cost.prefill.observe(tokens, 0, tokens * compute_token_s)
    for _ in range(seen):
        mix = a_mix(chance)
        cost.observe_mix(mix, seconds_of(mix) * chance.uniform(0.98, 1.02))
    return cost


def test_mixes_teach_what_each_tier_takes():
    cost, chance = of_three(), random.Random(1)
    mixes = [{tier: 2560} for tier in TIERS] + [a_mix(chance) for _ in range(50)]
    for mix in mixes:  # the noise of the slowest tier blurs what host memory takes by a ms
        assert cost.mix_seconds(mix) == pytest.approx(seconds_of(mix), rel=0.05, abs=0.0015)


def test_a_mix_with_a_tier_that_nobody_knows_has_no_time_but_teaches_one():
    cost = Cost(("host", "disk", "remote"), 1.0)
    cost.observe_mix({"host": 1000}, 0.001)
    mix = {"host": 1000, "disk": 1000, "remote": 0}
    assert cost.mix_seconds(mix) is None
    cost.observe_mix(mix, 1.0)
    assert 0.5 <= cost.mix_seconds({"disk": 1000}) <= 1.0
    assert cost.mix_seconds({"remote": 1000}) is None
    assert cost.mix_seconds({}) == 0


def test_a_mix_that_failed_counts_against_the_tier_that_failed_alone():
    cost = of_three()
    before = [cost.mix_seconds({tier: 256}) for tier in TIERS]
    for _ in range(3):
        cost.observe_mix({"host": 256, "disk": 256, "remote": 256}, 9.0, failed_tier="remote")
    assert [cost.mix_seconds({tier: 256}) for tier in TIERS] == before
    assert cost.worth([Run("host", 4096), Run("disk", 4096)], 0) == 8192
    assert not pays(cost, 256, "remote")


@pytest.mark.parametrize(
    ("runs", "worth"),
    [
        ([("host", 4096), ("disk", 4096), ("remote", 4096)], 8192),
        ([("remote", 8192), ("host", 4096)], 0),
        ([("remote", 256), ("host", 8192)], 8448),  # what is behind is worth the detour
        ([("disk", 4096), ("remote", 256), ("disk", 4096)], 8448),
        ([], 0),
    ],
)
def test_the_leading_part_that_saves_most_is_loaded(runs, worth):
    assert of_three().worth([Run(*run) for run in runs], 0) == worth


def test_a_wait_for_the_store_counts_for_what_is_there_alone():
    cost = of_three()
    runs = [Run("host", 4096), Run("disk", 4096)]
    assert cost.worth(runs, 0, wait_s=0.01) == 8192
    assert cost.worth(runs, 0, wait_s=1.0) == 4096


def test_what_nobody_knows_is_tried_in_a_mix_too():
    runs = [Run("host", 256), Run("disk", 256)]
    cost = Cost(("host", "disk"), 1.0)
    assert cost.worth(runs, 0) == 512
    cost.observe_mix({"host": 256}, 9.0)
    assert cost.worth(runs, 0) == 512
    cost.prefill.observe(256, 0, 1e-3)
    assert cost.worth([Run("disk", 256)], 0, wait_s=1.0) == 256


def test_a_tier_that_is_left_out_is_refused_if_it_is_the_reason():
    cost = of_three()
    assert cost.decide([Run("remote", 4096), Run("disk", 256)], 0) == 0
    assert cost.take_probe("remote", 0.0)
    assert not cost.take_probe("disk", 0.0)
    assert cost.decide([Run("remote", 256), Run("host", 8192)], 0) == 8448
    assert not cost.take_probe("remote", 1e9)


@given(st.lists(RUNS, max_size=5), RUNS, TOKENS)
def test_asking_about_mixes_changes_no_answer(asked, runs, context_tokens):
    cost, unasked = of_three(seen=20), of_three(seen=20)
    for each in asked:
        cost.worth(each, context_tokens, 0.1)
        cost.mix_seconds({run.tier: run.tokens for run in each})
    assert cost.decide(runs, 0) == unasked.decide(runs, 0)
    for tier in TIERS:
        assert cost.take_probe(tier, 1e9) == unasked.take_probe(tier, 1e9)


@given(RUNS, TOKENS)
def test_whole_runs_are_loaded_and_a_run_that_alone_is_not_refuses_its_tier(runs, context_tokens):
    cost = of_three(seen=20)
    ends = [sum(run.tokens for run in runs[:count]) for count in range(len(runs) + 1)]
    assert cost.worth(runs, context_tokens) in ends
    for run in runs:
        worth = cost.worth([run], context_tokens)
        assert cost.decide([run], context_tokens) == worth
        assert cost.take_probe(run.tier, 1e9) == (worth == 0)
        cost = of_three(seen=20)
