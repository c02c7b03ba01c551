"""The real vllm-router, in front of servers that answer like vLLM."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.fleet import router
from demo.fleet.child import free_port
from demo.fleet.conversations import Turn
from demo.fleet.counters import counted
from demo.fleet.load import Client
from tests.demo.fleet.children import started


@pytest.fixture
def fleet(tmp_path):
    """Two instances, of which the second takes its time, and a client of the router before them."""
    with ExitStack() as running:
        fast, fast_url = started(tmp_path, "fast")
        running.enter_context(fast)
        slow, slow_url = started(tmp_path, "slow", seconds=600)
        running.callback(slow.kill)
        port = free_port()
        front = router.start_router([fast_url, slow_url], port, free_port(), tmp_path)
        running.enter_context(front)
        front.wait_until_up(router.START_S)
        yield Client(f"http://127.0.0.1:{port}", 4), slow, slow_url


def test_requests_of_an_instance_that_dies_are_answered_by_another_one(fleet):
    client, slow, slow_url = fleet
    turn = Turn((1, 2, 3), "fast")
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(client.ask, turn) for _ in range(4)]
        deadline_s = time.monotonic() + 60
        while counted(slow_url, "vllm:num_requests_running") < 2:
            assert time.monotonic() < deadline_s, "no request reached the slow instance"
            time.sleep(0.02)
        slow.kill()
        replies = [each.result() for each in asked]
    assert all(reply.is_answered and reply.is_right for reply in replies)
    assert {(reply.prompt_tokens, reply.cached_tokens) for reply in replies} == {(3, 2)}
    assert client.ask(turn).is_right


def test_a_missing_router_is_told_with_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(router, "PROGRAM", Path("/nowhere/vllm-router"))
    with pytest.raises(FileNotFoundError, match="pip install vllm-router"):
        router.start_router([], 1, 2, tmp_path)
