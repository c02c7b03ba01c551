"""Passages are reused anywhere in a prompt; what is exact stays exact, and is never polluted."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.blend_exactness import EXACT, NOTICED, Exactness, distance, request
from tests.connector.entries import Entries
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

pytestmark = pytest.mark.vllm

ANEW = 16


@pytest.fixture(scope="module")
def engine(engines, model):
    with engines.start(connected(model, None)) as running:
        yield running


@pytest.fixture
def exactness(engine, plain):
    return Exactness(engine, plain)


@pytest.fixture
def saved(engine, plain):
    """Prompts that the engine has saved and then forgotten, with what vLLM answers to them."""

    def save(ids):
        expected = plain.generate(request(ids))
        assert distance(engine.generate(request(ids)), expected) <= EXACT
        assert engine.reset()
        return expected

    return save


@pytest.mark.parametrize("first", [0, 7, 1000])
def test_gaps_anywhere_are_computed_as_vllm_computes_them(exactness, first):
    exactness.check_gaps(seed=100 + first, first=first)


def test_noise_in_a_reused_passage_is_noticed(exactness):
    assert exactness.noise_in_a_passage(seed=200) > NOTICED


def test_noise_in_a_gap_is_computed_away(exactness):
    assert exactness.noise_in_a_gap(seed=201) <= EXACT


def test_moved_passages_are_found_at_any_offset_and_never_pollute(engine, saved, plain):
    a, b, c = (prompt(n, seed=300 + n) for n in (128, 192, 256))
    saved(a + b + c)
    moved = prompt(37, seed=301) + c + prompt(5, seed=302) + a[3:] + b + prompt(11, seed=303)
    blended = engine.generate(request(moved, first=ANEW))
    (told,) = blended.blends
    assert told["passages"] == 2  # a and b stand together as before
    assert told["reused_tokens"] == 256 + 125 + 192 - 2 * ANEW
    assert told["gap_tokens"] == 37 + 5 + 2 * ANEW
    assert told["loaded_from"] == {"host": told["reused_tokens"]}
    expected = plain.generate(request(moved))
    again = engine.generate(request(moved))
    assert distance(again, expected) <= EXACT
    assert again.cached_tokens == [0]


def test_without_private_hashes_the_same_would_be_found(engine, saved, plain):
    a, b = (prompt(n, seed=400 + n) for n in (256, 192))
    saved(a + b)
    moved = prompt(64, seed=401) + b + a + prompt(9, seed=402)
    engine.share_hashes(share=True)
    engine.generate(request(moved, first=0))
    again = engine.generate(request(moved))
    engine.share_hashes(share=False)
    assert again.cached_tokens[0] > 64
    assert distance(again, plain.generate(request(moved))) > EXACT


def test_an_exact_prefix_is_shared_as_ever(engine, saved, plain):
    a, b, c = (prompt(n, seed=500 + n) for n in (192, 256, 128))
    saved(a + b)
    saved(c)
    told = engine.generate(request(a + c + prompt(9, seed=501), first=ANEW)).blends[0]
    assert told["exact_tokens"] == 192
    again = request(a + b[:77])
    outcome = engine.generate(again)
    assert outcome.cached_tokens[0] >= 192
    assert distance(outcome, plain.generate(again)) <= EXACT


def test_a_salt_parts_the_passages_of_users(engine, saved):
    ids = prompt(300, seed=600)
    saved(ids)
    salted = replace(request(prompt(40, seed=601) + ids, first=ANEW), cache_salt="someone else")
    told = engine.generate(salted).blends[0]
    assert told["reused_tokens"] == 0


@pytest.mark.parametrize(
    ("blend", "reason"),
    [
        ({"segments": [[0, 5000]]}, "prompt's 100 tokens"),
        ({"segments": [[5, 4]]}, r"segments\[0\]=\[5, 4\]"),
    ],
)
def test_a_wrong_wish_is_answered_with_the_reason(engine, plain, blend, reason):
    ids = prompt(100, seed=700)
    outcome = engine.generate(request(ids, **blend))
    assert outcome.answers == plain.generate(request(ids)).answers
    assert re.search(reason, outcome.blends[0]["refused"])


def test_a_plain_request_is_told_nothing(engine):
    assert engine.generate(request(prompt(100, seed=701))).blends == [None]


@pytest.fixture(scope="module")
def apart(engines, model):
    """Two engines over one store."""
    with (
        EmbeddedServer(64 << 20) as server,
        engines.start(connected(model, server.url)) as saving,
        engines.start(connected(model, server.url)) as blending,
    ):
        yield saving, blending, server


def test_what_one_process_has_saved_another_blends(apart, plain):
    saving, blending, server = apart
    a, b = (prompt(n, seed=800 + n) for n in (192, 256))
    saving.generate(request(a + b))
    with closing(Entries(server.url)) as entries:
        entries.await_count(7)
        entries.await_announcement()
    moved = prompt(21, seed=801) + b + a + prompt(9, seed=802)
    told = blending.generate(request(moved, first=ANEW)).blends[0]
    assert told["reused_tokens"] == 192 + 256 - 2 * ANEW
    assert told["loaded_from"] == {"remote": told["reused_tokens"]}
    again = blending.generate(request(moved))
    assert distance(again, plain.generate(request(moved))) <= EXACT
    assert again.cached_tokens == [0]


def test_what_a_killed_process_has_left_is_blended_as_far_as_it_is_whole(engines, model, plain):
    ids = prompt(640, seed=900)
    with EmbeddedServer(64 << 20) as server:
        with engines.start(connected(model, server.url)) as saving:
            saving.submit(request(ids))
            with closing(Entries(server.url)) as entries:
                while not (entries.keys() and entries.are_announced()):
                    saving.step()
                saving.kill()
                whole = len(entries.keys())
                entries.remove_one_record()
        with engines.start(connected(model, server.url)) as blending:
            moved = prompt(21, seed=901) + ids + prompt(9, seed=902)
            outcome = blending.generate(request(moved, first=ANEW))
            told = outcome.blends[0]
            assert told["reused_tokens"] <= (whole - 1) * CHUNK_TOKENS
            assert not told["has_failed"]
            again = blending.generate(request(moved))
            assert distance(again, plain.generate(request(moved))) <= EXACT
