"""Makes loads for a deployment: which requests come when. Equal seeds make equal loads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, islice
from random import Random
from typing import TYPE_CHECKING

from demo.texts import passages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from demo.texts import Text

_QUESTIONS = (
    "What is this passage about?",
    "Which claim here is the strongest, and why?",
    "Name one thing that is measured or described.",
    "What would one have to know already to follow it?",
    "Give it a title.",
    "What does it say first, and what last?",
)


@dataclass(frozen=True)
class Conversation:
    """Turns that follow each other: each one is asked once the last was answered."""

    starts_s: float
    """After the load's begin."""
    system: str
    says: tuple[str, ...]
    """By the user; at least one."""
    thinks_s: tuple[float, ...]
    """Between an answer and what is said next."""


@dataclass(frozen=True)
class ChatShape:
    """Multi-turn chat: a long opening, then short turns, each on all that was said before."""

    conversations: int = 7
    turns: int = 6
    starts_per_s: float = 0.2
    thinks_s: float = 3.0
    """Mean."""
    opening_tokens: tuple[int, int] = (350, 900)
    turn_tokens: tuple[int, int] = (40, 130)


@dataclass(frozen=True)
class RagShape:
    """Questions about shared documents: the document first, then the question."""

    requests: int = 28
    documents: int = 10
    zipf: float = 1.0
    """The document of rank r is asked about ``r ** -zipf`` times as often as the first."""
    starts_per_s: float = 0.5
    document_tokens: tuple[int, int] = (450, 1350)


@dataclass(frozen=True)
class PassagesShape:
    """Questions about several passages at once, as a search finds them: in any order."""

    requests: int = 28
    passages: int = 14
    found: int = 4
    """How many passages a question comes with."""
    zipf: float = 1.0
    """As of :class:`RagShape`, of passages."""
    starts_per_s: float = 0.2
    passage_tokens: tuple[int, int] = (200, 500)


def chat_load(shape: ChatShape, tokenizer: Tokenizer, text: Text, seed: int) -> list[Conversation]:
    """Conversations that begin at random moments, each about a passage of its own."""
    chance = Random(seed)
    openings = _excerpts(tokenizer, text, shape.opening_tokens, shape.conversations, chance)
    later_turns = shape.conversations * (shape.turns - 1)
    followers = iter(_excerpts(tokenizer, text, shape.turn_tokens, later_turns, chance))
    starts_s = poisson(shape.starts_per_s, shape.conversations, chance)
    return [
        Conversation(
            start_s,
            "You read a book with the user, passage by passage, and answer briefly.",
            tuple(
                _asked(words, chance) for words in (opening, *islice(followers, shape.turns - 1))
            ),
            tuple(chance.expovariate(1 / shape.thinks_s) for _ in range(shape.turns - 1)),
        )
        for start_s, opening in zip(starts_s, openings, strict=True)
    ]


def rag_load(shape: RagShape, tokenizer: Tokenizer, text: Text, seed: int) -> list[Conversation]:
    """Single questions that come at random moments, most of them about few documents."""
    chance = Random(seed)
    documents = _excerpts(tokenizer, text, shape.document_tokens, shape.documents, chance)
    return [
        Conversation(start_s, "Answer from the document alone.", (_asked(document, chance),), ())
        for start_s, document in zip(
            poisson(shape.starts_per_s, shape.requests, chance),
            zipf(documents, shape.zipf, shape.requests, chance),
            strict=True,
        )
    ]


def passages_load(
    shape: PassagesShape, tokenizer: Tokenizer, text: Text, seed: int
) -> list[Conversation]:
    """Single questions that come at random moments, each behind passages in random order."""
    chance = Random(seed)
    known = _excerpts(tokenizer, text, shape.passage_tokens, shape.passages, chance)
    return [
        Conversation(
            start_s,
            "Answer from the passages alone.",
            (_asked("\n\n".join(distinct(known, shape.zipf, shape.found, chance)), chance),),
            (),
        )
        for start_s in poisson(shape.starts_per_s, shape.requests, chance)
    ]


def poisson(per_s: float, count: int, chance: Random) -> list[float]:
    """Return the first ``count`` moments of a Poisson process, in seconds."""
    return list(accumulate(chance.expovariate(per_s) for _ in range(count)))


def zipf(ranked: Sequence[str], exponent: float, count: int, chance: Random) -> list[str]:
    """``count`` of ``ranked``, the first the most popular."""
    weights = [rank**-exponent for rank in range(1, len(ranked) + 1)]
    return chance.choices(ranked, weights, k=count)


def distinct(ranked: Sequence[str], exponent: float, count: int, chance: Random) -> list[str]:
    """``count`` different ones of ``ranked`` in random order, the first the most popular."""
    drawn = {
        words: chance.random() ** (rank**exponent) for rank, words in enumerate(ranked, start=1)
    }
    return chance.sample(sorted(drawn, key=drawn.__getitem__, reverse=True)[:count], count)


def _excerpts(
    tokenizer: Tokenizer, text: Text, tokens: tuple[int, int], count: int, chance: Random
) -> list[str]:
    """``count`` passages without overlap, of random lengths within ``tokens``."""
    return [
        tokenizer.decode(passage[: chance.randint(*tokens)])
        for passage in passages(tokenizer, text, max(tokens), count)
    ]


def _asked(words: str, chance: Random) -> str:
    return f"{words}\n\n{chance.choice(_QUESTIONS)}"
