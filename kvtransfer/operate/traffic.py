"""What an instance did between two looks at its metrics. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_BUCKET = re.compile(r"(.+)_bucket\{(.+)\}")


@dataclass(frozen=True)
class Traffic:
    """Amounts of one instance, a second where they grow."""

    prompt_tokens_per_s: float
    local_share: float | None
    """Share of prompt tokens found in vLLM's own prefix cache; None where there were no prompts."""
    restored_share: float | None
    """Share of prompt tokens that kvtransfer has loaded."""
    host_tokens_per_s: float
    store_tokens_per_s: float
    fetched_bytes_per_s: float
    put_bytes_per_s: float
    load_p50_s: float | None
    """Median seconds of a request's load; None where there was none."""
    ttft_p50_s: float | None
    lost_chunks_per_s: float
    """Chunks that were not loaded, not saved or not put."""
    evicted_chunks_per_s: float
    open_breakers: int


LOST = (
    "load_failed_chunks",
    "put_failed_chunks",
    "put_dropped_chunks",
    "put_lost_chunks",
    "save_skipped_chunks",
    "quota_refused_chunks",
)
"""Counters of chunks that were not loaded, not saved or not put; what isn't verified isn't loaded."""


def between(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> Traffic:
    """Compute what happened in ``seconds``; a process that began anew counts from zero."""

    def grown(name: str) -> float:
        growth = after.get(name, 0.0) - before.get(name, 0.0)
        return growth if growth >= 0 else after.get(name, 0.0)

    def ours(name: str) -> float:
        return grown(f"kvtransfer:{name}_total") / seconds

    prompts = grown("vllm:prompt_tokens_total")

    def share(name: str) -> float | None:
        return min(1.0, grown(name) / prompts) if prompts else None

    return Traffic(
        prompt_tokens_per_s=prompts / seconds,
        local_share=share("vllm:prefix_cache_hits_total"),
        restored_share=share("vllm:external_prefix_cache_hits_total"),
        host_tokens_per_s=ours("host_hit_tokens"),
        store_tokens_per_s=ours("store_hit_tokens"),
        fetched_bytes_per_s=ours("fetched_bytes"),
        put_bytes_per_s=ours("put_bytes"),
        load_p50_s=median_of("kvtransfer:load_seconds", before, after),
        ttft_p50_s=median_of("vllm:time_to_first_token_seconds", before, after),
        lost_chunks_per_s=sum(map(ours, LOST)),
        evicted_chunks_per_s=ours("evicted_chunks"),
        open_breakers=round(after.get("kvtransfer:open_breakers", 0)),
    )


def median_of(
    histogram: str, before: Mapping[str, float], after: Mapping[str, float]
) -> float | None:
    """Return the limit of the bucket that holds the median of what ``histogram`` has counted since.

    None where it has counted nothing.
    """
    grown = sorted(
        (float(match[2]), count - before.get(name, 0.0))
        for name, count in after.items()
        if (match := _BUCKET.fullmatch(name)) and match[1] == histogram
    )
    total = grown[-1][1] if grown else 0.0
    if total <= 0:
        return None
    limit = next(limit for limit, count in grown if 2 * count >= total)
    return limit if math.isfinite(limit) else None
