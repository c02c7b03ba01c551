"""vLLM's steps are read, and matches written, as vLLM means them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.step_input import hit_sources, leading_tokens, read_step
from kvtransfer.requests.loading.match import Span
from kvtransfer.requests.step import GivenBlocks


def test_new_running_and_resumed_requests_are_read():
    output = SimpleNamespace(
        scheduled_new_reqs=[
            SimpleNamespace(req_id="new", block_ids=([1, 2],), num_computed_tokens=4)
        ],
        scheduled_cached_reqs=SimpleNamespace(
            req_ids=["running", "resumed"],
            resumed_req_ids={"resumed"},
            new_block_ids=[None, ([3],)],
            num_computed_tokens=[9, 0],
        ),
        num_scheduled_tokens={"new": 3, "running": 1, "resumed": 2},
        total_num_scheduled_tokens=6,
    )
    step = read_step(output)
    assert step.request_ids == ["new", "running", "resumed"]
    assert step.computed_tokens == [4, 9, 0]
    assert step.scheduled_tokens == {"new": 3, "running": 1, "resumed": 2}
    assert step.begun == [GivenBlocks("new", ([1, 2],))]
    assert step.resumed == {"resumed"}
    assert step.added == [GivenBlocks("resumed", ([3],))]
    assert step.computes


@pytest.mark.parametrize(
    ("spans", "tokens"),
    [((), 0), ((Span(16, 8),), 8), ((Span(16, 8), Span(32, 8)), 8), ((Span(24, 8),), 0)],
)
def test_vllm_loads_only_what_follows_its_own_tokens(spans, tokens):
    assert leading_tokens(spans, local_tokens=16) == tokens


def test_tokens_are_counted_where_they_were_found():
    assert {source.value: n for source, n in hit_sources(8, 20).items()} == {
        "host": 8,
        "external_unspecified": 12,
    }
    assert hit_sources(0, 0) == {}
