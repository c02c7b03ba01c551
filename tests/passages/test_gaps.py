from __future__ import annotations

import random

import pytest

from kvtransfer.passages.gaps import Blend, Gap, blend
from kvtransfer.passages.recompute import First, Share
from kvtransfer.passages.run import Run
from tests.passages.texts import source

SOURCE = source(list(range(1000)))


def run(start, tokens, source_start=0, *, is_exact=False):
    return Run(start, tokens, SOURCE, source_start, is_exact)


def test_the_first_tokens_of_a_run_are_computed_and_what_is_between():
    found = blend([run(10, 200), run(230, 300, 400)], First(), start=4, prompt_tokens=600)
    assert found.copies == (run(26, 184, 16), run(246, 284, 416))
    assert found.gaps == (Gap(4, 26), Gap(210, 246))
    assert (found.end, found.copied_tokens, found.gap_tokens) == (530, 468, 58)


def test_a_share_of_each_run_is_rounded_up():
    found = blend([run(0, 101), run(101, 99)], Share(0.1), start=0, prompt_tokens=600)
    assert [copy.start for copy in found.copies] == [11, 111]
    assert blend([run(0, 200)], Share(1), start=0, prompt_tokens=600) == Blend(0)


def test_nothing_of_an_exact_run_is_computed():
    found = blend([run(64, 200, 64, is_exact=True)], First(), start=80, prompt_tokens=600)
    assert found == Blend(80, (run(80, 184, 80, is_exact=True),), ())


def test_the_last_token_is_left_to_the_engine():
    for prompt_tokens in (201, 200, 199, 150):
        found = blend([run(0, 200)], First(), start=0, prompt_tokens=prompt_tokens)
        assert found.end == min(200, prompt_tokens - 1)


def test_what_does_not_pay_is_computed():
    runs = [run(0, 47), run(100, 48), run(200, 100)]
    found = blend(runs, First(), start=0, prompt_tokens=600)
    assert found.copies == (run(116, 32, 16), run(216, 84, 16))
    assert found.gaps == (Gap(0, 116), Gap(148, 216))
    assert blend(runs, First(), start=0, prompt_tokens=600, least_copied_tokens=116) == found
    none = blend(runs, First(), start=0, prompt_tokens=600, least_copied_tokens=117)
    assert (none, none.end) == (Blend(0), 0)


@pytest.mark.parametrize("seed", range(50))
def test_copies_and_gaps_are_all_tokens_up_to_the_last_copy(seed):
    chance = random.Random(seed)
    runs, at = [], 0
    for _ in range(chance.randrange(6)):
        at += chance.randrange(80)
        runs.append(run(at, chance.randint(1, 150), is_exact=chance.random() < 0.2))
        at = runs[-1].end
    start = chance.randint(0, at)
    recompute = chance.choice([First(0), First(), Share(0.15)])
    found = blend(runs, recompute, start=start, prompt_tokens=at + 1, least_copied_tokens=1)
    pieces = sorted([*found.copies, *found.gaps], key=lambda piece: piece.start)
    borders = [(piece.start, piece.end) for piece in pieces]
    assert [first for first, _ in borders] == [start, *[end for _, end in borders]][: len(borders)]
    assert all(copy.tokens >= 32 for copy in found.copies)
    assert not pieces or pieces[-1] in found.copies


@pytest.mark.parametrize("wrong", [lambda: First(-1), lambda: Share(1.5), lambda: Share(-0.1)])
def test_a_recompute_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=r"first=-1|share="):
        wrong()


@pytest.mark.parametrize(("start", "prompt_tokens"), [(0, 0), (-1, 5), (6, 5)])
def test_a_start_outside_the_prompt_is_refused(start, prompt_tokens):
    with pytest.raises(ValueError, match="start lies in the prompt"):
        blend([], First(), start=start, prompt_tokens=prompt_tokens)
