"""Makes prompts of passages whose last tokens say whether blending has harmed what the model knows.

Each set has examples of one kind; equal seeds make equal examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from benchmarks.blend_prompts import END, SYSTEM
from demo.texts import language_reference, opticks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

PLACES = (
    *("red house", "north gate", "old library", "river station"),
    *("glass tower", "stone bridge", "green cabin", "south harbor"),
)
PEOPLE = ("Nora Field", "Peter Lang", "Maria Costa", "Tom Hale", "Ida Berg", "Karl Weiss")
TOWNS = ("Fenwick", "Ostrava", "Kilmore", "Lindau", "Varna", "Aldham")

_CONTINUED_TOKENS = 64
_PREFIX_TOKENS = 64


@dataclass(frozen=True)
class Example:
    """A prompt: ``prefix_ids``, the passages one behind the other, and ``tail_ids``."""

    prefix_ids: list[int]
    passages: list[list[int]]
    tail_ids: list[int]
    scored_tokens: int
    """The last ones of the tail."""

    @property
    def prompt_ids(self) -> list[int]:
        return [*chain(self.prefix_ids, *self.passages, self.tail_ids)]

    @property
    def segments(self) -> list[list[int]]:
        """Where the passages are in the prompt."""
        found, start = [], len(self.prefix_ids)
        for passage in self.passages:
            found.append([start, start + len(passage)])
            start += len(passage)
        return found


class Excerpts:
    """Cuts pieces of real texts at random places.

    Args:
        folder: of the model whose tokens they are.

    Raises:
        FileNotFoundError: no long text is installed.
    """

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        found = [text for text in (opticks(), language_reference()) if text is not None]
        if not found:
            raise FileNotFoundError("no long text found: install apache-tvm-ffi")
        self._texts = [self.encode(text.body) for text in found]

    def encode(self, words: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(words, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        words: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return words

    def cut(self, tokens: int, chance: Random) -> list[int]:
        """Return ``tokens`` consecutive ones."""
        ids = chance.choice(self._texts)
        start = chance.randrange(len(ids) - tokens)
        return ids[start : start + tokens]

    def around(self, facts: str, tokens: int, chance: Random) -> list[int]:
        """Return ``tokens`` of a text, with ``facts`` somewhere in the middle."""
        middle, end = self.encode(f"\n{facts}\n"), self.encode("\n\n")
        text = self.cut(tokens - len(middle) - len(end), chance)
        place = chance.randrange(len(text) // 5, len(text) * 4 // 5)
        return [*text[:place], *middle, *text[place:], *end]


def continued(excerpts: Excerpts, count: int, tokens: int, chance: Random) -> Example:
    """Return ``count`` passages of ``tokens`` that follow each other, and what comes next."""
    text = excerpts.cut(_PREFIX_TOKENS + count * tokens + _CONTINUED_TOKENS, chance)
    body, tail = text[_PREFIX_TOKENS:-_CONTINUED_TOKENS], text[-_CONTINUED_TOKENS:]
    cuts = [body[start : start + tokens] for start in range(0, len(body), tokens)]
    return Example(text[:_PREFIX_TOKENS], cuts, tail, _CONTINUED_TOKENS - 1)


def asked(excerpts: Excerpts, count: int, tokens: int, chance: Random) -> Example:
    """Return passages with an access code each, one of which is asked for."""
    places = chance.sample(PLACES, count)
    codes = [_code(chance) for _ in places]
    facts = [f"The access code for the {p} is {c}." for p, c in zip(places, codes, strict=True)]
    number = chance.randrange(count)
    question = f"What is the access code for the {places[number]}?"
    start = f"The access code for the {places[number]} is"
    return _question(excerpts, facts, tokens, (question, start, f" {codes[number]}."), chance)


def chained(excerpts: Excerpts, count: int, tokens: int, chance: Random) -> Example:
    """Return passages of which three have to be read, each for the sake of another, for an answer.

    A person stays in a town, the town has a house, and the house a code. Each of the three passages
    says so of two persons, towns or houses; the others say something alike of further ones.
    """
    people, towns, places = (chance.sample(each, count - 1) for each in (PEOPLE, TOWNS, PLACES))
    codes = [_code(chance) for _ in places]
    links = [
        [f"{person} stays in {town}." for person, town in zip(people, towns, strict=True)],
        [f"The guests of {t} live in the {p}." for t, p in zip(towns, places, strict=True)],
        [f"The access code for the {p} is {c}." for p, c in zip(places, codes, strict=True)],
    ]
    facts = [" ".join(chance.sample(link[:2], 2)) for link in links]
    facts += [" ".join(link[number] for link in links) for number in range(2, count - 1)]
    chance.shuffle(facts)
    question = f"What is the access code for the house where {people[0]} lives?"
    start = f"{people[0]} lives in a house whose access code is"
    return _question(excerpts, facts, tokens, (question, start, f" {codes[0]}."), chance)


def _question(
    excerpts: Excerpts, facts: list[str], tokens: int, words: tuple[str, str, str], chance: Random
) -> Example:
    question, start, answer = words
    scored = excerpts.encode(answer)
    ask = excerpts.encode(f"Question: {question}{END}{start}")
    passages = [excerpts.around(fact, tokens, chance) for fact in facts]
    return Example(excerpts.encode(SYSTEM), passages, ask + scored, len(scored))


def _code(chance: Random) -> str:
    return "".join(chance.choice("123456789") for _ in range(4))


@dataclass(frozen=True)
class Kind:
    """How the examples of a set are made, and where their passages were seen before."""

    make: Callable[[Excerpts, int, int, Random], Example]
    passages: int
    passage_tokens: int
    seen: tuple[str, ...]
    """``other-order``: in one prompt, behind the same begin; ``alone``: each in a prompt of its own."""

    def example(self, excerpts: Excerpts, chance: Random) -> Example:
        return self.make(excerpts, self.passages, self.passage_tokens, chance)


SETS = {
    "cont-2k": Kind(continued, 3, 640, ("other-order",)),
    "qa-2k": Kind(asked, 3, 640, ("other-order",)),
    "cont-4x160": Kind(continued, 4, 160, ("other-order", "alone")),
    "chain-4x160": Kind(chained, 4, 160, ("other-order", "alone")),
}
ORDERS = {3: (2, 1, 0), 4: (2, 3, 1, 0)}
"""In which order passages were seen before, by their number; two of four are still neighbours."""


def seen_before(example: Example, provenance: str) -> list[list[int]]:
    """Return the prompts in which the passages were seen before."""
    if provenance == "alone":
        return example.passages
    order = ORDERS[len(example.passages)]
    return [[*chain(example.prefix_ids, *(example.passages[number] for number in order))]]
