"""Draws requests of all sorts that share passages: blended and plain, salted, late and aborted."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any

from tests.connector.engine_process import Request
from tests.connector.inputs import VOCABULARY, prompt

MOST_TOKENS = 640
"""Of a prompt; the tokens of its answer come on top."""
_MOST_ANSWER_TOKENS = 60
_PROMPTS_A_ROUND = 3
_PROMPTS_AT_ONCE = 6
_PASSAGES_AT_ONCE = 5
_LATEST_STEP = 12
_SALTS = (*[None] * 5, "a salt")


class Mishap(Enum):
    """What befalls the caches while requests run."""

    PREFIX_CACHE_RESET = "vLLM forgets"
    PREEMPTION = "vLLM forgets, and what runs is preempted"
    CONNECTOR_RESET = "vLLM forgets, and weights are read again"
    STORE_DAMAGED = "a bit of each entry is flipped"


@dataclass(frozen=True)
class Arrival:
    """A request, and the steps before which it is submitted and aborted."""

    request: Request
    step: int
    aborted_at: int | None = None


@dataclass(frozen=True)
class Round:
    """Requests that run together, and what happens meanwhile."""

    arrivals: tuple[Arrival, ...]
    """In the order in which they are submitted."""
    mishap: Mishap | None
    mishap_step: int

    @classmethod
    def drawn(cls, seed: int, number: int) -> Round:
        """Round ``number`` of ``seed``: most of its prompts were asked in a round before it."""
        chance = Random(f"{seed}/{number}")
        arrivals = [_arrival(chance, number) for _ in range(chance.randint(5, 9))]
        return cls(
            tuple(sorted(arrivals, key=lambda arrival: arrival.step)),
            chance.choice((*[None] * 8, *Mishap)),
            chance.randrange(_LATEST_STEP),
        )

    @property
    def steps(self) -> int:
        """After these nothing more happens."""
        return 1 + max(
            self.mishap_step, *(arrival.aborted_at or arrival.step for arrival in self.arrivals)
        )

    @property
    def requests(self) -> list[Request]:
        """Those of the arrivals."""
        return [arrival.request for arrival in self.arrivals]


def _arrival(chance: Random, number: int) -> Arrival:
    step = chance.choice((0, 0, chance.randrange(_LATEST_STEP)))
    aborted_at = step + chance.randrange(_LATEST_STEP) if chance.random() < 0.12 else None
    ids = mixed_prompt(number * _PROMPTS_A_ROUND + chance.randrange(_PROMPTS_AT_ONCE))
    if chance.random() < 0.3:  # one that only begins like it
        ids = ids[: chance.randint(1, len(ids))] + _own(chance, chance.randint(1, 50))
    request = Request(
        ids,
        answer_tokens=chance.randint(1, _MOST_ANSWER_TOKENS),
        cache_salt=chance.choice(_SALTS),
        with_logprobs=True,
        blend=_wish(chance, len(ids)) if chance.random() < 0.5 else None,
    )
    return Arrival(request, step, aborted_at)


def mixed_prompt(number: int) -> list[int]:
    """Prompt ``number``: passages that its neighbours have, too, among tokens of its own."""
    chance = Random(f"prompt/{number}")
    ids = _own(chance, chance.randrange(60))
    for _ in range(chance.randint(1, 4)):
        passage = _passage(number // _PROMPTS_A_ROUND + chance.randrange(_PASSAGES_AT_ONCE))
        ids += passage[chance.choice((0, 0, chance.randrange(40))) :]
        ids += _own(chance, chance.choice((0, chance.randrange(40))))
    return [*ids, chance.randrange(1, VOCABULARY)][:MOST_TOKENS]


def _own(chance: Random, tokens: int) -> list[int]:
    return prompt(tokens, seed=chance.randrange(1 << 40))


def _passage(number: int) -> list[int]:
    tokens = Random(f"passage/{number}").randint(50, 260)
    return prompt(tokens, 1_000_000 + number)


def _wish(chance: Random, tokens: int) -> dict[str, Any]:
    amount: dict[str, Any] = chance.choice(
        ({}, {"first": 0}, {"first": chance.randrange(40)}, {"share": 0.15})
    )
    wish = {"blend": True, **amount}
    if chance.random() < 0.15:
        ends = sorted(chance.sample(range(tokens + 1), k=min(tokens, 6)))
        wish["segments"] = [list(pair) for pair in zip(ends[::2], ends[1::2], strict=False)]
    return wish
