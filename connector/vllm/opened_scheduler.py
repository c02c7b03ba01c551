"""Composes the scheduler of ``kvtransfer.requests`` from vLLM's configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.keys.key_builder import KeyBuilder
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.connector.vllm.keys.naming import Naming
from kvtransfer.connector.vllm.prefill import prefilled_tokens
from kvtransfer.connector.vllm.tracing.load_spans import LoadSpans
from kvtransfer.requests.basis import Basis, Duties
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.scheduler import Scheduler
from kvtransfer.scheduling.exchange.exchange import Exchange

if TYPE_CHECKING:
    from vllm.config import VllmConfig

    from kvtransfer.config import TransferConfig
    from kvtransfer.connector.vllm.blend.wishes import RequestWishes
    from kvtransfer.connector.vllm.caches.stages import Stages
    from kvtransfer.connector.vllm.keys.adapters import Adapters
    from kvtransfer.connector.vllm.pool_pins import PoolPins
    from kvtransfer.requests.router_events.router_events import NoRouterEvents, RouterEvents


def open_scheduler(
    config: TransferConfig,
    vllm_config: VllmConfig,
    stages: Stages,
    adapters: Adapters,
    pins: PoolPins,
    wishes: RequestWishes,
    router_events: RouterEvents | NoRouterEvents,
) -> Scheduler:
    """Return the scheduler for the model of ``stages``; it connects to the store at first use."""
    transfer = vllm_config.kv_transfer_config
    duties = Duties(
        transfer.is_kv_consumer, transfer.is_kv_producer, saves_decode=config.save_decode
    )
    weights = AgreedWeights(stages.ranks.workers)
    media = Media.open(vllm_config, trust_uuids=config.trust_media_uuids)
    return Scheduler(
        Basis.open(
            config,
            stages.formats,
            stages.names(config),
            stages.groups,
            duties,
            stages.ranks.workers,
        ),
        Naming(KeyBuilder(vllm_config, stages, config), weights, adapters, media),
        weights,
        pins,
        wishes,
        Exchange.open(config) if wishes.are_possible else None,
        wishes.asked,
        router_events,
        prefilled_tokens,
        LoadSpans.open(vllm_config, config.remote_serde),
    )
