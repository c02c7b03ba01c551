import pytest

from kvtransfer.requests.router_events.dialects import places
from kvtransfer.requests.router_events.event import Place


@pytest.mark.parametrize("dialect", ["vllm-router", "dynamo", "llm-d"])
def test_every_router_is_told_of_host_memory(dialect):
    assert places(dialect, "pool")["host"] == Place("CPU")


def test_other_places_are_told_of_where_the_router_knows_what_they_are_worth():
    assert places("vllm-router", "ours") == {
        "host": Place("CPU"),
        "disk": Place("STORAGE", "LOCAL"),
        "remote": Place("STORAGE", "REMOTE", "ours"),
    }
    assert set(places("dynamo", "ours")) == {"host", "disk"}
    assert set(places("llm-d", "ours")) == {"host"}
