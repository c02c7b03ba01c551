"""Adds up what the users of the fleet noticed, before, during and after its parts failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.fleet.load import Reply

PHASES = ("before", "during", "after")


@dataclass(frozen=True)
class Phase:
    """What happened in one part of the run."""

    replies: Sequence[Reply]
    seconds: float
    restored_tokens: float | None = None
    """Tokens that the instances restored, as Prometheus saw it; None: there was none."""

    @property
    def failed(self) -> int:
        """Requests that the router didn't answer, after its own retries."""
        return sum(not reply.is_answered for reply in self.replies)

    @property
    def wrong(self) -> int:
        """Answers that a vLLM without a cache doesn't give."""
        return sum(reply.is_answered and not reply.is_right for reply in self.replies)

    @property
    def hit_rate(self) -> float:
        """The share of prompt tokens that were not computed; 0 without any."""
        prompt_tokens = sum(reply.prompt_tokens for reply in self.replies)
        cached_tokens = sum(reply.cached_tokens for reply in self.replies)
        return cached_tokens / prompt_tokens if prompt_tokens else 0.0


@dataclass(frozen=True)
class Outcome:
    """Holds the three phases in order, and how often the router sent a request again."""

    before: Phase
    during: Phase
    after: Phase
    retries: int

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases by name, in order."""
        return {name: getattr(self, name) for name in PHASES}

    def problems(self) -> list[str]:
        """Return a sentence for each thing that went wrong; empty if all is well."""
        found = []
        for name, phase in self.phases.items():
            if not phase.replies:
                found.append(f"No request ended {name} the failures.")
            if phase.failed:
                found.append(f"{phase.failed} requests {name} the failures had no answer.")
            if phase.wrong:
                found.append(f"{phase.wrong} answers {name} the failures were wrong.")
        return found

    def to_json(self) -> dict[str, object]:
        """Return the figures as plain JSON."""
        phases = self.phases
        return {
            "requests": sum(len(phase.replies) for phase in phases.values()),
            "failed": sum(phase.failed for phase in phases.values()),
            "wrong": sum(phase.wrong for phase in phases.values()),
            **{f"hit_rate_{name}": round(phase.hit_rate, 4) for name, phase in phases.items()},
            "retries": self.retries,
        }
