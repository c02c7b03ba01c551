import pytest

from kvtransfer.config.settings import _KV_EVENTS
from kvtransfer.requests.router_events.dialects import places
from kvtransfer.requests.router_events.event import Place


@pytest.mark.parametrize("dialect", _KV_EVENTS[1:])
def test_every_router_credits_an_engine_with_its_own_memory_and_disk(dialect):
    told = places(dialect, "pool")
    assert told["host"] == Place("CPU")
    assert told["disk"] == Place("STORAGE", "LOCAL")


def test_only_vllm_router_credits_a_store_to_all_engines():
    assert places("vllm-router", "ours")["remote"] == Place("STORAGE", "REMOTE", "ours")
    assert "remote" not in places("dynamo", "ours")
    assert "remote" not in places("llm-d", "ours")
