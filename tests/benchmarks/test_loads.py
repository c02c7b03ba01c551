from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from statistics import fmean

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.loads import (
    ChatShape,
    PassagesShape,
    RagShape,
    chat_load,
    distinct,
    passages_load,
    poisson,
    rag_load,
    zipf,
)
from demo.texts import Text

WORDS = [f"word{i}" for i in range(4000)]
TEXT = Text("a book", "\n\n".join(" ".join(WORDS[i : i + 20]) for i in range(0, 4000, 20)))


@pytest.fixture(scope="module")
def tokenizer():
    known = {word: i for i, word in enumerate([*WORDS, "?"])}
    made = Tokenizer(models.WordLevel(known, unk_token="?"))  # a window may end within a word
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


CHAT = ChatShape(conversations=5, turns=3, opening_tokens=(60, 100), turn_tokens=(10, 30))
RAG = RagShape(requests=200, documents=8, document_tokens=(50, 120))
PASSAGES = PassagesShape(requests=200, passages=6, found=3, passage_tokens=(30, 60))


def test_a_seed_is_a_load(tokenizer):
    for make, shape in (
        (chat_load, CHAT),
        (rag_load, RAG),
        (passages_load, PASSAGES),
    ):
        assert make(shape, tokenizer, TEXT, 3) == make(shape, tokenizer, TEXT, 3)
        assert make(shape, tokenizer, TEXT, 3) != make(shape, tokenizer, TEXT, 4)


def test_each_conversation_has_a_passage_of_its_own_and_short_turns(tokenizer):
    load = chat_load(CHAT, tokenizer, TEXT, seed=1)
    assert [len(one.says) for one in load] == [3] * 5
    assert all(len(one.thinks_s) == 2 for one in load)
    openings = [one.says[0].split("\n\n")[0] for one in load]
    assert len({word for words in openings for word in words.split()}) == sum(
        len(words.split()) for words in openings
    )
    for one in load:
        opening, *turns = [len(said.split("\n\n")[0].split()) for said in one.says]
        assert 60 <= opening <= 100
        assert all(10 <= turn <= 30 for turn in turns)


def test_documents_are_shared_and_questions_come_after_them(tokenizer):
    load = rag_load(RAG, tokenizer, TEXT, seed=1)
    documents = Counter(one.says[0].rpartition("\n\n")[0] for one in load)
    assert len(documents) == 8
    assert all(len(one.says) == 1 and one.says[0].endswith((".", "?")) for one in load)
    assert [one.starts_s for one in load] == sorted(one.starts_s for one in load)


def test_a_question_comes_with_different_passages_in_any_order(tokenizer):
    load = passages_load(PASSAGES, tokenizer, TEXT, seed=1)
    found = [tuple(one.says[0].split("\n\n")[:-1]) for one in load]
    assert {len(each) for each in found} == {len(set(each)) for each in found} == {3}
    assert len({passage for each in found for passage in each}) == 6
    orders = Counter(found)
    assert any(orders[each[::-1]] for each in orders)


def test_arrivals_are_poisson():
    gaps = [b - a for a, b in pairwise([0.0, *poisson(4.0, 20_000, Random(1))])]
    mean = fmean(gaps)
    assert mean == pytest.approx(0.25, rel=0.03)
    # Of an exponential distribution, mean and deviation are the same: arrivals have no memory.
    assert fmean((gap - mean) ** 2 for gap in gaps) ** 0.5 == pytest.approx(mean, rel=0.05)


def test_popularity_falls_with_the_rank():
    drawn = Counter(zipf("abcd", 1.0, 25_000, Random(1)))
    shares = [drawn[one] / drawn["a"] for one in "abcd"]
    assert shares == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4], abs=0.03)


def test_the_most_popular_is_among_those_found_most_often_but_not_always_first():
    chance = Random(1)
    drawn = [distinct("abcd", 1.0, 2, chance) for _ in range(5_000)]
    often = Counter(one for each in drawn for one in each)
    assert often["a"] > often["b"] > often["c"] > often["d"] > 0
    first = Counter(each[0] for each in drawn if "a" in each)
    assert first["a"] / often["a"] == pytest.approx(0.5, abs=0.03)
