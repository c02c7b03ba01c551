"""What the benchmarks over HTTP observe, on a stand-in for vLLM."""

from __future__ import annotations

import pytest

from benchmarks.deployment import ANSWER_TOKENS, Counts, Deployment
from benchmarks.loads import Conversation
from benchmarks.percentiles import percentile_rows
from benchmarks.steady import AFTER_TOKENS, ALONE_TOKENS, observe
from tests.benchmarks.openai_server import OpenAiServer


@pytest.fixture
def server():
    with OpenAiServer() as running:
        yield running


def test_a_load_goes_round_the_servers_and_turns_carry_what_was_said():
    load = [Conversation(0.0, "be brief", ("one", "two", "three"), (0.0, 0.0))]
    with OpenAiServer() as first, OpenAiServer() as second:
        served = Deployment([first, second]).serve(load)
    answer = "".join(f"{token} " for token in range(ANSWER_TOKENS))
    assert [len(first.requests), len(second.requests)] == [2, 1]
    assert [message["content"] for message in first.requests[1]["messages"]] == [
        *("be brief", "one", answer, "two", answer, "three")
    ]
    assert served.answers == [list(range(ANSWER_TOKENS))] * 3
    assert len(served.ttft_s) == 3
    assert served.counts == Counts(30, 12, 0)
    assert served.counts.hit_rate == 0.4


def test_what_is_computed_between_blended_passages_was_not_found():
    since = Counts(100, 10, 60, 5).since(Counts(0, 0, 10, 1))
    assert since == Counts(100, 10, 50, 4)
    assert since.hit_rate == 0.56


def test_a_server_that_refuses_ends_the_run():
    load = [Conversation(0.0, "be brief", ("one",), ())]
    with OpenAiServer(status=404) as server, pytest.raises(ExceptionGroup) as caught:
        Deployment([server]).serve(load)
    assert "404 from vllm serve: no such thing" in str(caught.value.exceptions[0])


def test_the_steady_request_is_observed_before_and_beside_the_others_then_aborted(server):
    observed = observe(server.url, [1, 2], [[3], [4]])
    assert observed.answers == [list(range(8))] * 2
    assert len(observed.alone_s) >= ALONE_TOKENS - 1
    assert len(observed.beside_s) >= AFTER_TOKENS
    assert [request["prompt"] for request in server.requests] == [[1, 2], [3], [4]]
    assert server.aborted.wait(30)


def test_percentiles_stay_within_what_was_measured():
    p50, p99 = percentile_rows("decode", "alone", "plain", [1.0, 2.0, 3.0])
    assert (p50.case, p50.value, p50.n) == ("alone/p50", 2.0, 3)
    assert p99.case == "alone/p99"
    assert 2.9 < p99.value <= 3.0
