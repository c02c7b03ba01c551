"""Measures the time between the tokens of a request that decodes while others come."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.streamed import Reply, complete, session

if TYPE_CHECKING:
    from collections.abc import Sequence

ALONE_TOKENS = 48
AFTER_TOKENS = 32
_MOST_TOKENS = 7000
_ANSWER_TOKENS = 8
_LONGEST_S = 900


@dataclass(frozen=True)
class Observed:
    """Seconds between two tokens of the steady request, and what the others were answered."""

    alone_s: list[float]
    beside_s: list[float]
    """From the first other's coming until some tokens after the last one's answer."""
    answers: list[list[int]]


def observe(url: str, steady: list[int], others: Sequence[list[int]]) -> Observed:
    """Decode ``steady``, answer ``others`` one after the other meanwhile, and stop."""
    return asyncio.run(_observe(url, steady, others))


async def _observe(url: str, steady: list[int], others: Sequence[list[int]]) -> Observed:
    reply = Reply()
    async with asyncio.timeout(_LONGEST_S), session() as client, asyncio.TaskGroup() as group:
        decoding = group.create_task(complete(client, url, steady, _MOST_TOKENS, reply))
        await reply.reaches(1 + ALONE_TOKENS)
        begin_s = time.perf_counter()
        answers = [
            await complete(client, url, prompt, _ANSWER_TOKENS, Reply()) for prompt in others
        ]
        await reply.reaches(len(reply.token_ids) + AFTER_TOKENS)
        decoding.cancel()  # its connection is closed, and vLLM aborts it
    gaps = [(end_s, end_s - start_s) for start_s, end_s in itertools.pairwise(reply.token_s)]
    return Observed(
        [gap_s for end_s, gap_s in gaps if end_s < begin_s],
        [gap_s for end_s, gap_s in gaps if end_s >= begin_s],
        [answer.token_ids for answer in answers],
    )
