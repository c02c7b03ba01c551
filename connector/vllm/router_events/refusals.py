"""Refuses router events that vLLM would not publish, or that the router would drop or misread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.config import TransferConfig


def refuse_events(config: TransferConfig, vllm_config: VllmConfig) -> None:
    """Refuse ``kv_events`` where vLLM publishes nothing, or under a topic that the router ignores.

    Raises:
        ConfigError: the message names the option and the fix.
    """
    if config.kv_events == "off":
        return
    events = vllm_config.kv_events_config
    if events is None or not events.enable_kv_cache_events:
        raise ConfigError(
            f"kv_events={config.kv_events} adds to vLLM's KV events, which are off; start vLLM "
            "with --kv-events-config '{\"enable_kv_cache_events\": true}', or set kv_events=off"
        )
    wanted = _wanted_topic(config.kv_events, events.topic)
    if wanted is not None:
        raise ConfigError(
            f"a {config.kv_events} drops events of the topic {events.topic!r}; set the topic in "
            f"--kv-events-config to {wanted}"
        )


def refuse_groups(config: TransferConfig, groups: Groups) -> None:
    """Refuse ``kv_events`` for a model of which a held block is not yet a hit.

    Raises:
        ConfigError: it keeps windows or states beside, or instead of, layers that read everything.
    """
    if config.kv_events != "off" and not groups.are_one:
        raise ConfigError(
            f"kv_events={config.kv_events}: routers count the blocks of one cache group that reads "
            "all tokens, and this model has other ones; set kv_events=off"
        )


def _wanted_topic(router: str, topic: str) -> str | None:
    """The topic in place of ``topic``; None: that one is right."""
    if router == "vllm-router" and topic:
        return '""'
    if router == "llm-d" and not topic.startswith("kv@"):
        return '"kv@ADDRESS:PORT@MODEL"'
    return None
