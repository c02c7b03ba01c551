"""What the demo has found: one question about the same text, answered three ways."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.engine import Answer


@dataclass(frozen=True)
class Run:
    """The answers to one prompt."""

    cold: Answer
    """By a vLLM without kvtransfer, which had nothing cached."""
    restored: Answer
    """By a vLLM that had never seen the text, and found its KV cache in Redis."""
    local_hit: Answer
    """By the same vLLM, asked again: its own prefix cache serves."""

    @property
    def is_identical(self) -> bool:
        """Whether all three are the same, token by token."""
        return self.cold.token_ids == self.restored.token_ids == self.local_hit.token_ids


@dataclass(frozen=True)
class Outcome:
    """All runs; at least one."""

    context_tokens: int
    """Whole chunks at the start of each prompt, known before the question is asked."""
    runs: tuple[Run, ...]

    def answers(self, way: str) -> list[Answer]:
        """Those of one way: ``cold``, ``restored`` or ``local_hit``."""
        return [getattr(run, way) for run in self.runs]

    def ttft_s(self, way: str) -> float:
        """The median."""
        return median(answer.ttft_s for answer in self.answers(way))

    @property
    def prompt_tokens(self) -> int:
        """Of each prompt: the context, then the question."""
        return self.runs[0].cold.prompt_tokens

    def problems(self) -> list[str]:
        """What should not be, a sentence each; empty when all is well."""
        return [problem for i, run in enumerate(self.runs, 1) for problem in self._problems(i, run)]

    def to_json(self) -> dict[str, object]:
        """The figures, medians over the runs."""
        restored = self.answers("restored")
        return {
            "identical": all(run.is_identical for run in self.runs),
            "prompt_tokens": self.prompt_tokens,
            "restored_tokens": median_low(answer.restored_tokens for answer in restored),
            "bytes": median_low(answer.fetched_bytes for answer in restored),
            "ttft_cold_s": self.ttft_s("cold"),
            "ttft_restored_s": self.ttft_s("restored"),
            "ttft_local_hit_s": self.ttft_s("local_hit"),
            "runs": len(self.runs),
        }

    def _problems(self, number: int, run: Run) -> list[str]:
        found = []
        if run.restored.restored_tokens != self.context_tokens:
            found.append(
                f"Run {number} restored {run.restored.restored_tokens:,} tokens from Redis "
                f"instead of {self.context_tokens:,}."
            )
        if run.cold.computed_tokens != run.cold.prompt_tokens:
            found.append(f"Run {number} found something cached where nothing should have been.")
        if not run.is_identical:
            token = _first_difference(run)
            found.append(f"Run {number} gave different answers, from token {token} on.")
        return found


def _first_difference(run: Run) -> int:
    """Counted from 1."""
    ways = (run.cold.token_ids, run.restored.token_ids, run.local_hit.token_ids)
    same = 0
    for tokens in zip(*ways, strict=False):
        if len(set(tokens)) > 1:
            break
        same += 1
    return same + 1
