"""What shows that gaps are computed as vLLM computes them: the same answers, and noise is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, prompt

if TYPE_CHECKING:
    from tests.connector.engine_process import Outcome
    from tests.connector.engines import Engine
    from tests.connector.plain_vllm import PlainVllm

EXACT, NOTICED = 1e-4, 1e-3
"""How far log-probabilities may be apart at most, and how far they are where KV is wrong."""


def request(ids: list[int], **blend: object) -> Request:
    return Request(ids, with_logprobs=True, blend={"blend": True, **blend} if blend else None)


def distance(outcome: Outcome, expected: Outcome) -> float:
    """How far the log-probabilities of the two only answers are apart; a lot if tokens differ."""
    if outcome.answers != expected.answers:
        return 100.0
    pairs = zip(outcome.logprobs[0], expected.logprobs[0], strict=True)
    return max(abs(a - b) for a, b in pairs)


@dataclass(frozen=True)
class Exactness:
    """Lets an engine blend prompts of seven chunks that it has saved where they stand now.

    Args:
        engine: with a connector on host memory, and chunks of ``chunk_tokens``.
        plain: what vLLM answers.
    """

    engine: Engine
    plain: PlainVllm
    chunk_tokens: int = CHUNK_TOKENS

    @property
    def segments(self) -> list[list[int]]:
        """Passages, with gaps of any size at any token; the first chunk is one."""
        size = self.chunk_tokens
        return [
            [size + 1, 2 * size + 42],
            [2 * size + 43, 4 * size + 43],
            [5 * size + 11, 6 * size + 57],
        ]

    def save(self, seed: int) -> tuple[list[int], Outcome]:
        """Have a prompt saved, then forgotten by vLLM; returns it and what vLLM answers."""
        ids = prompt(7 * self.chunk_tokens + 2, seed=seed)
        expected = self.plain.generate(request(ids))
        assert distance(self.engine.generate(request(ids)), expected) <= EXACT
        assert self.engine.reset()
        self.engine.lose_chunk(0)
        return ids, expected

    def check_gaps(self, seed: int, first: int) -> None:
        """Gaps are computed so that the answer is vLLM's own.

        The passages are where they were, behind the same tokens: of them nothing is computed anew,
        whatever ``first`` is.
        """
        ids, expected = self.save(seed)
        outcome = self.engine.generate(request(ids, first=first, segments=self.segments))
        (told,) = outcome.blends
        assert distance(outcome, expected) <= EXACT, told
        assert told is not None
        assert told["reused_tokens"] == sum(end - start for start, end in self.segments)
        assert told["gap_tokens"] == self.segments[-1][1] - told["reused_tokens"]
        assert told["passages"] == 3
        assert told["exact_tokens"] == 0

    def noise_in_a_passage(self, seed: int) -> float:
        """How far the answer is from vLLM's if a passage is noise."""
        return self._noise(seed, 3, 10, 30)

    def noise_in_a_gap(self, seed: int) -> float:
        """How far the answer is from vLLM's if what was saved of a gap is noise."""
        start, end = self.segments[1][1], self.segments[2][0]
        return self._noise(seed, 4, start - 4 * self.chunk_tokens, min(end - start, 21))

    def _noise(self, seed: int, chunk: int, first_token: int, tokens: int) -> float:
        ids, expected = self.save(seed)
        self.engine.spoil_chunk(chunk, first_token, tokens)
        return distance(self.engine.generate(request(ids, segments=self.segments)), expected)
