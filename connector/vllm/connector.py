"""Implements vLLM's V1 connector: passes each call to the scheduler's or the worker's side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import vllm
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorRole,
    KVConnectorTransferResults,
    SupportsHMA,
)
from vllm.distributed.parallel_state import get_pp_group, get_tensor_model_parallel_rank

from kvtransfer.connector.opening import tell_opening
from kvtransfer.connector.vllm import same_process
from kvtransfer.connector.vllm.blend.blender import Blender
from kvtransfer.connector.vllm.blend.own_hashes import make_private
from kvtransfer.connector.vllm.blend.verdict import why_refused
from kvtransfer.connector.vllm.blend.wishes import RequestWishes
from kvtransfer.connector.vllm.caches import model_facts
from kvtransfer.connector.vllm.caches.stages import Stages
from kvtransfer.connector.vllm.config_check import read_settings, warn_of_failing_requests
from kvtransfer.connector.vllm.keys.adapters import Adapters
from kvtransfer.connector.vllm.keys.loaded_adapters import LoadedAdapters
from kvtransfer.connector.vllm.messages import FactsMessage, PlanMessage, ReportMessage
from kvtransfer.connector.vllm.opened_scheduler import open_scheduler
from kvtransfer.connector.vllm.pages.inline_scales import prepare_scales
from kvtransfer.connector.vllm.pages.page_facts import page_facts
from kvtransfer.connector.vllm.pool_pins import PoolPins
from kvtransfer.connector.vllm.prefill import with_prefilled
from kvtransfer.connector.vllm.reuse_verdict import refuse_layers
from kvtransfer.connector.vllm.router_events.opened import open_router_events
from kvtransfer.connector.vllm.router_events.translated import as_vllm
from kvtransfer.connector.vllm.stats import TransferPromMetrics, TransferStats
from kvtransfer.connector.vllm.step_input import hit_sources, leading_tokens, read_step, served
from kvtransfer.connector.vllm.vllm_version import warn_of_newer
from kvtransfer.connector.vllm.weights.cache_resets import note_resets
from kvtransfer.connector.vllm.weights.held import HeldWeights
from kvtransfer.connector.vllm.weights.worker_watch import calling_worker
from kvtransfer.connector.vllm.worker import WorkerSide

if TYPE_CHECKING:
    import torch
    from vllm.config import KVTransferConfig, VllmConfig
    from vllm.distributed.kv_events import KVCacheEvent
    from vllm.distributed.kv_transfer.kv_connector.v1.base import (
        KVConnectorHandshakeMetadata,
        KVConnectorMetadata,
    )
    from vllm.forward_context import ForwardContext
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks, KVCacheManager
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.metrics.cache_hit_source import CacheHitSource
    from vllm.v1.outputs import KVConnectorOutput
    from vllm.v1.request import Request

    from kvtransfer.requests.scheduler import Scheduler


class KVTransferConnector(KVConnectorBase_V1, SupportsHMA):
    """Serves vLLM as the scheduler's side or as a worker's side, as ``role`` says.

    vLLM makes one instance in the scheduler's process and one in each worker's. An instance sets
    only the attributes of its side, so that a call of the other side's methods fails.
    """

    _scheduler: Scheduler
    _adapters: Adapters
    """Set on the scheduler's side, too."""
    _pins: PoolPins
    _wishes: RequestWishes
    _worker: WorkerSide
    _neighbour: KVTransferConnector | None = None
    """The other side with the same settings, if it lives in this process."""

    def __init__(
        self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig
    ) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        self._config = read_settings(vllm_config, warns=role == KVConnectorRole.SCHEDULER)
        self._facts = model_facts.describe(vllm_config, kv_cache_config, self._config)
        self._invalid_blocks: set[int] = set()
        if role == KVConnectorRole.SCHEDULER:
            warn_of_newer(vllm.__version__)
            warn_of_failing_requests(vllm_config)
            self._pins = PoolPins()
            if not self._facts.are_partial:
                self._open_scheduler(Stages((self._facts,)))

    # --- scheduler

    def set_xfer_handshake_metadata_pp_aware(
        self, metadata: dict[tuple[int, int], KVConnectorHandshakeMetadata]
    ) -> None:
        """Open the scheduler's side where only the workers know what they hold.

        vLLM calls this once they have registered their caches, and before the first request.
        """
        if self._facts.are_partial:
            self._open_scheduler(Stages.of_workers(self._facts, metadata))
            note_resets(self._kv_cache_manager, self._scheduler, self._pins)

    def _open_scheduler(self, stages: Stages) -> None:
        workers = stages.ranks.workers
        tell_opening(self._config, stages.largest, workers)
        self._adapters = Adapters.open(self._vllm_config, workers)
        refusal = why_refused(self._vllm_config, self._facts)
        self._wishes = RequestWishes(self._config.blend, refusal, self._config.ttl_s)
        router_events = open_router_events(
            self._config, self._vllm_config, self._kv_cache_config, stages.groups
        )
        self._scheduler = open_scheduler(
            self._config,
            self._vllm_config,
            stages,
            self._adapters,
            self._pins,
            self._wishes,
            router_events,
        )
        self._meet_neighbour()

    @property
    def requires_kv_delivery(self) -> bool:
        """Tell vLLM that a save may be dropped: that is a later miss, no reason to recompute."""
        return False

    def bind_kv_cache_manager(self, kv_cache_manager: KVCacheManager) -> None:
        super().bind_kv_cache_manager(kv_cache_manager)
        self._pins.bind(kv_cache_manager.block_pool)
        if not self._facts.are_partial:
            note_resets(kv_cache_manager, self._scheduler, self._pins)

    def on_new_request(self, request: Request) -> None:
        self._scheduler.track(request)

    def get_num_new_matched_tokens(
        self, request: Request, num_computed_tokens: int
    ) -> tuple[int | None, bool]:
        spans = self._scheduler.match(request, num_computed_tokens)
        if spans is None:
            return None, False
        make_private(request, spans, self._kv_cache_manager)
        external_tokens = leading_tokens(spans, num_computed_tokens)
        return external_tokens, bool(external_tokens)

    def update_state_after_alloc(
        self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int
    ) -> None:
        block_ids = served(blocks.get_block_ids(), self._facts.numbers)
        self._scheduler.admit(request, block_ids, num_external_tokens)

    def get_external_cache_hit_sources(
        self, request: Request, num_external_tokens: int
    ) -> dict[CacheHitSource, int]:
        return hit_sources(self._scheduler.host_tokens(request), num_external_tokens)

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> PlanMessage:
        weights = self._scheduler.expect_weights()
        plan = self._scheduler.plan(read_step(scheduler_output, self._facts.numbers))
        jobs = self._scheduler.owned(plan.copies)
        adapters = self._adapters.plan(jobs, self._scheduler.states())
        return PlanMessage(plan, weights, adapters)

    def update_connector_output(self, connector_output: KVConnectorOutput) -> None:
        message = connector_output.kv_connector_worker_meta
        if isinstance(message, ReportMessage):
            self._scheduler.take_weights(message.weights)
            self._adapters.take(message.adapters)
            if message.blend_refusal is not None:
                self._wishes.refuse(message.blend_refusal)
            received = self._scheduler.take(
                message.report, message.step, message.voided, message.failed_requests
            )
            # In a MultiConnector other connectors add to the same output.
            connector_output.finished_recving = {
                *(connector_output.finished_recving or ()),
                *received,
            }

    def request_finished(
        self, request: Request, block_ids: list[int]
    ) -> tuple[bool, dict[str, Any] | None]:
        return self.request_finished_all_groups(request, (block_ids,))

    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        told = self._wishes.end(request, self._scheduler.served(request))
        self._scheduler.finish(request, owns_blocks=any(block_ids))
        return False, with_prefilled(request, told)

    def take_events(self) -> list[KVCacheEvent]:
        group = self._facts.numbers[0]
        return [as_vllm(event, group) for event in self._scheduler.take_router_events()]

    def has_pending_push_work(self) -> bool:
        return self._scheduler.is_saving

    def reset_cache(self) -> bool:
        if self._neighbour is not None:
            self._neighbour.save_rest()
        self._scheduler.reset()
        return True

    # --- worker

    def save_rest(self) -> None:
        """Save what the scheduler's side in this process has left of finished requests."""
        if self._neighbour is not None:
            self._worker.save_all(self._neighbour._scheduler.rest())

    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        refuse_layers(self._vllm_config)
        rank = self._facts.ranks.rank(
            get_pp_group().rank_in_group, get_tensor_model_parallel_rank()
        )
        worker = calling_worker()
        pages = page_facts(self._vllm_config, kv_caches)
        prepare_scales(self._vllm_config, kv_caches)
        weights = HeldWeights(worker, self._vllm_config, pages, self._config.weights_name)
        adapters = LoadedAdapters.of(worker)
        blender = partial(Blender.of, worker, self._vllm_config, self._facts)
        self._worker = WorkerSide(
            self._config, self._facts, rank, kv_caches, weights, adapters, blender
        )

    def get_handshake_metadata(self) -> FactsMessage | None:
        return FactsMessage(self._facts) if self._facts.are_partial else None

    def bind_connector_metadata(self, connector_metadata: KVConnectorMetadata) -> None:
        super().bind_connector_metadata(connector_metadata)
        self._worker.begin_step(self._step.weights)

    @classmethod
    def supports_sleep_mode(cls, kv_transfer_config: KVTransferConfig) -> bool:
        """Support sleep, about which vLLM asks from 0.33 on, with the two methods below."""
        return True

    def unregister_kv_caches(self) -> None:
        self.save_rest()
        self._worker.suspend()

    def restore_kv_caches(self) -> None:
        self._worker.resume()

    def handle_preemptions(self, kv_connector_metadata: KVConnectorMetadata) -> None:
        assert isinstance(kv_connector_metadata, PlanMessage)
        self._worker.before_writes(kv_connector_metadata)

    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        self._worker.load(self._step)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Do nothing: vLLM computes a request only once its asynchronous load has ended."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: torch.Tensor, attn_metadata: Any, **kwargs: Any
    ) -> None:
        """Do nothing: chunks hold all layers and are saved after the step."""

    def wait_for_save(self) -> None:
        self._worker.save(self._step)

    def get_finished(self, finished_req_ids: set[str]) -> tuple[None, None]:
        """Collect what has ended; ``build_connector_worker_meta`` sends it to the scheduler."""
        self._invalid_blocks = self._worker.take_report(self._step.plan)
        return None, None

    def get_transfer_results(self, finished_req_ids: set[str]) -> KVConnectorTransferResults:
        """Collect what has ended, and tell vLLM which requests' loads have failed as a whole."""
        self.get_finished(finished_req_ids)
        failed = set(self._step.plan.failed_requests)
        return KVConnectorTransferResults(finished_recving=failed, failed_recving=set(failed))

    def get_block_ids_with_load_errors(self) -> set[int]:
        return self._invalid_blocks

    def build_connector_worker_meta(self) -> ReportMessage | None:
        return self._worker.report(self._step)

    @property
    def _step(self) -> PlanMessage:
        step: PlanMessage = self._get_connector_metadata()
        return step

    # --- both

    def _meet_neighbour(self) -> None:
        """Find the worker's side in this process; the scheduler's side does, which vLLM makes last."""
        for worker in same_process.workers(type(self)):
            if worker._neighbour is None and worker._config == self._config:
                self._neighbour, worker._neighbour = worker, self
                return

    def _leave_neighbour(self) -> None:
        if self._neighbour is not None:
            self._neighbour._neighbour = None
            self._neighbour = None

    def get_kv_connector_stats(self) -> TransferStats | None:
        side = self._scheduler if self.role == KVConnectorRole.SCHEDULER else self._worker
        amounts = side.counted()
        return TransferStats(amounts) if amounts else None

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> TransferStats:
        return TransferStats(data or {})

    @classmethod
    def build_prom_metrics(cls, *args: Any) -> TransferPromMetrics:
        return TransferPromMetrics(*args)

    def shutdown(self) -> None:
        if hasattr(self, "_worker"):  # vLLM may fail before it registers the caches
            self.save_rest()
        self._leave_neighbour()
        for side in ("_scheduler", "_worker"):
            if hasattr(self, side):
                getattr(self, side).close()
                delattr(self, side)
