"""What would reach no router, or be misread there, is refused by name and with the fix."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.reach import Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.router_events.refusals import refuse_events, refuse_groups
from kvtransfer.errors import ConfigError


def vllm_config(topic=None):
    events = SimpleNamespace(enable_kv_cache_events=True, topic=topic)
    return SimpleNamespace(kv_events_config=None if topic is None else events)


def refusal(router, topic=None):
    with pytest.raises(ConfigError) as error:
        refuse_events(TransferConfig.of(kv_events=router), vllm_config(topic))
    return str(error.value)


def test_vllm_must_publish_events():
    assert refusal("dynamo") == (
        "kv_events=dynamo adds to vLLM's KV events, which are off; start vLLM with "
        "--kv-events-config '{\"enable_kv_cache_events\": true}', or set kv_events=off"
    )
    refuse_events(TransferConfig.of(), vllm_config())


def test_a_topic_that_the_router_drops():
    assert refusal("vllm-router", "kv-events") == (
        "a vllm-router drops events of the topic 'kv-events'; set the topic in --kv-events-config "
        'to ""'
    )
    assert 'set the topic in --kv-events-config to "kv@ADDRESS:PORT@MODEL"' in refusal("llm-d", "")


@pytest.mark.parametrize(
    ("router", "topic"), [("vllm-router", ""), ("dynamo", "any"), ("llm-d", "kv@1.2.3.4:8000@m")]
)
def test_a_topic_that_the_router_takes(router, topic):
    refuse_events(TransferConfig.of(kv_events=router), vllm_config(topic))


def test_a_model_with_windows():
    groups = Groups((Tiling(64, 16), Tiling(64, 16, Window(32))))
    refuse_groups(TransferConfig.of(), groups)
    refuse_groups(TransferConfig.of(kv_events="dynamo"), Groups((Tiling(64, 16),)))
    with pytest.raises(ConfigError, match=r"^kv_events=dynamo: .* set kv_events=off$"):
        refuse_groups(TransferConfig.of(kv_events="dynamo"), groups)
