"""Opens router events for vLLM as it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.router_events.block_names import VllmBlockNames
from kvtransfer.connector.vllm.router_events.refusals import refuse_events, refuse_groups
from kvtransfer.requests.router_events.router_events import NoRouterEvents, RouterEvents

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

    from kvtransfer.chunks.groups import Groups
    from kvtransfer.config import TransferConfig


def open_router_events(
    config: TransferConfig,
    vllm_config: VllmConfig,
    kv_cache_config: KVCacheConfig,
    groups: Groups,
) -> RouterEvents | NoRouterEvents:
    """Return what tells routers as ``config`` says.

    Raises:
        ConfigError: nothing would reach the router, or it would be misread.
    """
    if config.kv_events == "off":
        return NoRouterEvents()
    refuse_events(config, vllm_config)
    refuse_groups(config, groups)
    return RouterEvents.open(config, VllmBlockNames.of(groups, vllm_config, kv_cache_config))
