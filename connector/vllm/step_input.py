"""Translates vLLM's steps for :mod:`kvtransfer.requests`, and its matches for vLLM."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from kvtransfer.requests.step import GivenBlocks, StepInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.metrics.cache_hit_source import CacheHitSource

    from kvtransfer.requests.loading.match import Span


def read_step(output: SchedulerOutput) -> StepInput:
    """Translate the step that vLLM's scheduler has decided on."""
    new, cached = output.scheduled_new_reqs, output.scheduled_cached_reqs
    block_ids = cached.new_block_ids
    return StepInput(
        request_ids=[*(each.req_id for each in new), *cached.req_ids],
        computed_tokens=[
            *(each.num_computed_tokens for each in new),
            *cached.num_computed_tokens,
        ],
        scheduled_tokens=output.num_scheduled_tokens,
        begun=[GivenBlocks(each.req_id, each.block_ids) for each in new],
        resumed=cached.resumed_req_ids,
        # Few of hundreds of requests get blocks in a step: the others take no round of a loop.
        added=[
            GivenBlocks(*given)
            for given in compress(zip(cached.req_ids, block_ids, strict=True), block_ids)
        ],
    )


def leading_tokens(spans: Sequence[Span], local_tokens: int) -> int:
    """Count the tokens that vLLM may load: those of a span that begins at ``local_tokens``."""
    if not spans or spans[0].first_token != local_tokens:
        return 0
    return spans[0].tokens


def hit_sources(host_tokens: int, external_tokens: int) -> dict[CacheHitSource, int]:
    """Count tokens by vLLM's names for where they were found; it has no name for a store."""
    from vllm.v1.metrics.cache_hit_source import CacheHitSource  # vLLM 0.31 lacks it

    tokens = {
        CacheHitSource.HOST: host_tokens,
        CacheHitSource.EXTERNAL_UNSPECIFIED: external_tokens - host_tokens,
    }
    return {source: count for source, count in tokens.items() if count}
