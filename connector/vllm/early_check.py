"""Refuses what can't work as soon as vLLM has made its configuration, before it loads weights.

vLLM makes its connectors minutes later, once the weights are loaded, in processes whose errors
reach the user as one of several tracebacks. ``EngineArgs.create_engine_config`` runs early, in the
process that the user started, for both ``vllm serve`` and ``LLM``.
"""

from __future__ import annotations

import logging
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.config import KVTransferConfig, VllmConfig

_LOG = logging.getLogger("kvtransfer")
_CHECKED = "_kvtransfer_checked"


def check_configurations(name: str) -> None:
    """Have configurations checked that use the connector ``name`` or our tiers; may be called again."""
    module = sys.modules.get("vllm.engine.arg_utils")
    if module is None:  # this process gets its configuration from another one
        return
    create = module.EngineArgs.create_engine_config
    if hasattr(create, _CHECKED):
        return

    @wraps(create)
    def create_and_check(*args: Any, **kwargs: Any) -> VllmConfig:
        from kvtransfer.connector.vllm.request_check import check_requests

        vllm_config = create(*args, **kwargs)
        for extra in settings(vllm_config.kv_transfer_config, name):
            refuse(vllm_config, extra)
            check_requests()
        _tell_tiers(vllm_config)
        return vllm_config

    setattr(create_and_check, _CHECKED, True)
    module.EngineArgs.create_engine_config = create_and_check


def refuse(vllm_config: VllmConfig, extra: dict[str, Any]) -> None:
    """Refuse settings and models that can't work, as far as shows before the model is loaded.

    Raises:
        ConfigError: the message names the setting or the model, and the fix.
    """
    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm import config_check
    from kvtransfer.connector.vllm.pages.refusals import refuse_compression
    from kvtransfer.connector.vllm.router_events.refusals import refuse_events
    from kvtransfer.host_memory import require_installed
    from kvtransfer.quotas import Quotas
    from kvtransfer.stores.check import check_stores

    # The scheduler's side will warn of odd settings, once.
    config = TransferConfig.load(extra, tell=lambda _, said: _LOG.debug(said))
    check_stores(config)
    Quotas.read(config.quotas_file)
    require_installed(config.max_local_cpu_size)
    config_check.refuse_config(vllm_config)
    refuse_events(config, vllm_config)
    if config.remote_url is not None:
        refuse_compression(config.remote_serde, vllm_config.cache_config.cache_dtype)
    is_set = vllm_config.cache_config.user_specified_block_size  # vLLM may still choose another
    if is_set and not config_check.may_have_groups(vllm_config):
        config_check.refuse_block_size(vllm_config.cache_config.block_size, config.chunk_size)


def _tell_tiers(vllm_config: VllmConfig) -> None:
    from kvtransfer.connector.vllm.offloading.covered import tell_tiers

    tell_tiers(vllm_config)


def settings(transfer: KVTransferConfig | None, name: str) -> Iterator[dict[str, Any]]:
    """Yield the extra configuration of each connector ``name``, alone or in a MultiConnector."""
    if transfer is None:
        return
    yield from _settings(transfer.kv_connector, transfer.kv_connector_extra_config, name)


def _settings(connector: object, extra: Any, name: str) -> Iterator[dict[str, Any]]:
    if connector == name:
        yield extra or {}
    elif connector == "MultiConnector":
        for child in extra.get("connectors", ()):
            given = child.get("kv_connector_extra_config", {})
            yield from _settings(child.get("kv_connector"), given, name)
