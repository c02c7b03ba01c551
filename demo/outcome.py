"""Compares the answers to one question that were made in three ways, and finds problems."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.engine import Answer


@dataclass(frozen=True)
class Run:
    """Holds the three answers to one prompt."""

    cold: Answer
    """From a vLLM without kvtransfer that had nothing cached."""
    restored: Answer
    """From a vLLM that had never seen the text and loaded its KV from Redis."""
    local_hit: Answer
    """From the same vLLM, asked again, with the KV in its own prefix cache."""

    @property
    def is_identical(self) -> bool:
        """Whether the three answers are the same, token by token."""
        return self.cold.token_ids == self.restored.token_ids == self.local_hit.token_ids


@dataclass(frozen=True)
class Outcome:
    """Holds all runs, at least one."""

    context_tokens: int
    """Tokens at the start of each prompt, in whole chunks, that the second vLLM must restore."""
    runs: tuple[Run, ...]

    def answers(self, way: str) -> list[Answer]:
        """Return the answers of one way: ``cold``, ``restored`` or ``local_hit``."""
        return [getattr(run, way) for run in self.runs]

    def ttft_s(self, way: str) -> float:
        """Return the median time to first token of one way."""
        return median(answer.ttft_s for answer in self.answers(way))

    @property
    def prompt_tokens(self) -> int:
        """Tokens of each prompt, context and question."""
        return self.runs[0].cold.prompt_tokens

    def problems(self) -> list[str]:
        """Return a sentence for each thing that went wrong; empty if all is well."""
        return [problem for i, run in enumerate(self.runs, 1) for problem in self._problems(i, run)]

    def to_json(self) -> dict[str, object]:
        """Return the figures, medians over the runs, as plain JSON."""
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
    """Return the first token in which the answers differ, counted from 1."""
    ways = (run.cold.token_ids, run.restored.token_ids, run.local_hit.token_ids)
    same = 0
    for tokens in zip(*ways, strict=False):
        if len(set(tokens)) > 1:
            break
        same += 1
    return same + 1
