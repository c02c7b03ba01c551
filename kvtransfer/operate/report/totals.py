"""What an engine has done since it began, for the page. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.operate.traffic import LOST

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Totals:
    """Sums since the process began."""

    name: str
    prompt_tokens: float
    local_tokens: float
    """Found in vLLM's own prefix cache."""
    host_tokens: float
    """Loaded by kvtransfer from host memory."""
    store_tokens: float
    """Loaded by kvtransfer from disk or the remote store."""
    saved_s: float
    """Predicted seconds of computing what was loaded, less the seconds of the loads."""
    lost_chunks: float
    refused_tokens: float

    @property
    def computed_tokens(self) -> float:
        """Prompt tokens that were computed."""
        reused = self.local_tokens + self.host_tokens + self.store_tokens
        return max(0.0, self.prompt_tokens - reused)

    @property
    def reused_share(self) -> float:
        """Share of prompt tokens that were not computed; 0 without prompts."""
        if not self.prompt_tokens:
            return 0.0
        return 1 - self.computed_tokens / self.prompt_tokens


def totals_of(name: str, samples: Mapping[str, float]) -> Totals:
    """Read the sums of the instance ``name`` from its ``samples``."""

    def ours(metric: str) -> float:
        return samples.get(f"kvtransfer:{metric}", 0.0)

    loaded_s = ours("load_seconds_sum")
    return Totals(
        name=name,
        prompt_tokens=samples.get("vllm:prompt_tokens_total", 0.0),
        local_tokens=samples.get("vllm:prefix_cache_hits_total", 0.0),
        host_tokens=ours("host_hit_tokens_total"),
        store_tokens=ours("store_hit_tokens_total"),
        saved_s=max(0.0, ours("predicted_prefill_seconds_total") - loaded_s),
        lost_chunks=sum(ours(f"{metric}_total") for metric in LOST),
        refused_tokens=ours("refused_tokens_total"),
    )
