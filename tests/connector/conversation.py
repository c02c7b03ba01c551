"""Talks of several turns about a real text, in a fixed order that mixes near and far reuse."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo.texts import real_text
from tests.connector.engine_process import Request, Setup
from tests.connector.inputs import connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.connector.engines import Engine

SHARED_TOKENS = 192
"""Every talk begins with these: three chunks."""
TURN_TOKENS = 128
ANSWER_TOKENS = 16
CHUNK_BYTES = 64 << 10
"""Of the tiny model; on disk a block more."""
PATIENT = {"lookup_timeout_ms": 20_000, "load_timeout_ms": 20_000, "remote_timeout_ms": 20_000}
"""For tests that count on hits: on a busy machine, too."""


@dataclass
class Talk:
    """What was said so far; a token is a byte of the text, or what the model answered."""

    said: list[int]
    pages: Iterator[list[int]]

    def ask(self) -> Request:
        """The next turn: all that was said, and one page more."""
        self.said = [*self.said, *next(self.pages)]
        return Request(self.said, answer_tokens=ANSWER_TOKENS)

    def hear(self, answer: list[int]) -> None:
        self.said = [*self.said, *answer]


@dataclass
class Turns:
    """What came of the turns of many talks with one engine."""

    wrong: list[int] = field(default_factory=list)
    """The numbers of those whose answer was another than the one expected."""
    prompt_tokens: int = 0
    external_tokens: int = 0
    """By vLLM's count, brought by the connector."""


def requests(plain: Engine, talks: int, turns: int, seed: int) -> list[tuple[Request, list[int]]]:
    """Each turn of ``talks`` talks, and the answer of ``plain``, an engine without a cache."""
    text = real_text().body.encode()
    chance = random.Random(seed)
    shared = list(text[:SHARED_TOKENS])
    open_talks = [
        Talk(shared, _pages(text, chance.randrange(len(text) // 2))) for _ in range(talks)
    ]
    order = [talk for talk in open_talks for _ in range(turns)]
    chance.shuffle(order)
    asked = []
    for talk in order:
        request = talk.ask()
        (answer,) = plain.generate(request).answers
        talk.hear(answer)
        asked.append((request, answer))
    return asked


def hold(engine: Engine, asked: list[tuple[Request, list[int]]]) -> Turns:
    """Ask ``engine`` the same."""
    turns = Turns()
    for number, (request, answer) in enumerate(asked):
        outcome = engine.generate(request)
        turns.prompt_tokens += len(request.prompt_ids)
        turns.external_tokens += outcome.external_tokens
        if outcome.answers != [answer]:
            turns.wrong.append(number)
    return turns


def small_host(
    model: str,
    host_chunks: int,
    folder: Path,
    disk_chunks: int,
    url: str | None = None,
    **settings: Any,
) -> Setup:
    """An engine whose own cache holds one long request, with so much behind it."""
    return connected(
        model,
        url,
        options={"kv_cache_memory_bytes": 17 * CHUNK_BYTES, "max_model_len": 1024},
        max_local_cpu_size=host_chunks * CHUNK_BYTES / 2**30,
        local_storage=str(folder),
        max_local_storage_size=disk_chunks * (CHUNK_BYTES + 4096) / 2**30,
        **PATIENT,
        **settings,
    )


def _pages(text: bytes, start: int) -> Iterator[list[int]]:
    while True:
        yield list(text[start : start + TURN_TOKENS])
        start += TURN_TOKENS
