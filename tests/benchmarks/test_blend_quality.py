"""The sets by which the quality of blending is judged, and the figures of a judgement."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.bench_blend_quality import FULL, quality_rows
from benchmarks.quality_sets import SETS, Excerpts, seen_before
from benchmarks.tail_engine import Told
from demo.smollm2 import model_folder


@pytest.fixture(scope="module")
def excerpts():
    return Excerpts(model_folder())


@pytest.mark.parametrize("name", SETS)
def test_an_example_is_as_its_set_says_and_equal_for_equal_seeds(excerpts, name):
    kind = SETS[name]
    example, again = (kind.example(excerpts, Random(3)) for _ in range(2))
    assert example == again
    assert [len(passage) for passage in example.passages] == [kind.passage_tokens] * kind.passages
    cut = [example.prompt_ids[start:end] for start, end in example.segments]
    assert cut == example.passages
    assert 0 < example.scored_tokens < len(example.tail_ids)


def test_passages_were_seen_in_another_order_or_alone(excerpts):
    example = SETS["cont-4x160"].example(excerpts, Random(4))
    (prompt,) = seen_before(example, "other-order")
    a, b, c, d = example.passages
    assert prompt == example.prefix_ids + c + d + b + a
    assert seen_before(example, "alone") == [a, b, c, d]


def test_the_answer_at_the_end_of_a_chain_is_in_none_of_the_passages_that_name_the_person(excerpts):
    for seed in range(8):
        example = SETS["chain-4x160"].example(excerpts, Random(seed))
        words = [excerpts.decode(passage) for passage in example.passages]
        asked, _, said = excerpts.decode(example.tail_ids).rpartition(" is ")
        person = asked.partition("house where ")[2].partition(" lives")[0]
        (first,) = [text for text in words if f"{person} stays in" in text]
        code = said.removesuffix(".")
        assert code not in first
        assert sum(f"is {code}." in text for text in words) == 1


def test_differences_are_taken_example_by_example():
    def told(*kl):
        return [Told(each, 0.5, 1.0, 0.0, {"gap_tokens": 10}) for each in kl]

    results = {
        ("set", FULL): told(0.0, 0.0),
        ("set", "first0"): told(0.3, 0.5),
        ("set", "first16"): told(0.1, 0.3),
    }
    first0, first16 = quality_rows(results)
    assert (first0.impl, first0.value, first0.n) == ("first0", 0.4, 2)
    assert first0.more["kl_se"] == pytest.approx(0.1)
    assert first0.more["d_kl"] == pytest.approx(0.2)
    assert first0.more["d_kl_se"] == pytest.approx(0.0)
    assert first16.more["d_kl"] == 0.0
