"""Translates vLLM's steps for :mod:`kvtransfer.requests`, and its matches for vLLM."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from kvtransfer.requests.step import GivenBlocks, StepInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.metrics.cache_hit_source import CacheHitSource

    from kvtransfer.requests.loading.match import Span
    from kvtransfer.requests.step import BlockIds


def served(block_ids: Sequence[Sequence[int]], numbers: Sequence[int]) -> BlockIds:
    """Return the blocks of the groups that we serve, which have vLLM's ``numbers``."""
    return tuple(block_ids[number] for number in numbers)


def read_step(output: SchedulerOutput, numbers: Sequence[int] = (0,)) -> StepInput:
    """Translate the step that vLLM's scheduler has decided on.

    Args:
        output: vLLM's; read now, and its blocks while the step is being planned.
        numbers: vLLM's numbers of the cache groups that we serve.
    """
    new, cached = output.scheduled_new_reqs, output.scheduled_cached_reqs
    block_ids = cached.new_block_ids
    return StepInput(
        request_ids=[*(each.req_id for each in new), *cached.req_ids],
        computed_tokens=[
            *(each.num_computed_tokens for each in new),
            *cached.num_computed_tokens,
        ],
        scheduled_tokens=output.num_scheduled_tokens,
        begun=[GivenBlocks(each.req_id, served(each.block_ids, numbers)) for each in new],
        resumed=cached.resumed_req_ids,
        # Few of hundreds of requests get blocks in a step: the others take no round of a loop.
        added=[
            GivenBlocks(request_id, served(given, numbers))
            for request_id, given in compress(
                zip(cached.req_ids, block_ids, strict=True), block_ids
            )
        ],
        tables=_tables(output, numbers),
    )


def _tables(output: SchedulerOutput, numbers: Sequence[int]) -> Callable[[str], BlockIds] | None:
    state = getattr(output, "kv_connector_block_state", None)
    if state is None:
        return None
    return lambda request_id: served(state.get_block_ids(request_id), numbers)


def leading_tokens(spans: Sequence[Span], local_tokens: int) -> int:
    """Count the tokens that vLLM may load: those of spans from ``local_tokens`` on, without a gap."""
    end = local_tokens
    for span in spans:
        if span.first_token != end:
            break
        end += span.tokens
    return end - local_tokens


def hit_sources(host_tokens: int, external_tokens: int) -> dict[CacheHitSource, int]:
    """Count tokens by vLLM's names for where they were found; it has no name for a store."""
    from vllm.v1.metrics.cache_hit_source import CacheHitSource  # vLLM 0.31 lacks it

    tokens = {
        CacheHitSource.HOST: host_tokens,
        CacheHitSource.EXTERNAL_UNSPECIFIED: external_tokens - host_tokens,
    }
    return {source: count for source, count in tokens.items() if count}
