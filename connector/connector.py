"""vLLM's V1 connector: each call goes to the one side that this instance is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vllm
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorRole,
)
from vllm.distributed.parallel_state import get_tensor_model_parallel_rank

from kvtransfer.config import TransferConfig

from . import vllm_facts
from .plan import StepPlan, StepReport
from .scheduler import SchedulerSide
from .stats import TransferPromMetrics, TransferStats
from .vllm_version import warn_of_newer
from .worker import WorkerSide

if TYPE_CHECKING:
    import torch
    from vllm.config import VllmConfig
    from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorMetadata
    from vllm.forward_context import ForwardContext
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.metrics.cache_hit_source import CacheHitSource
    from vllm.v1.outputs import KVConnectorOutput
    from vllm.v1.request import Request

    from kvtransfer.plan import Plan


class KVTransferConnector(KVConnectorBase_V1):
    """Made twice by vLLM: in the scheduler's process, and in each worker's.

    The one side that an instance is has its attribute set; a call meant for the other one fails.
    """

    _scheduler: SchedulerSide
    _worker: WorkerSide

    def __init__(
        self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig
    ) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        extra = vllm_config.kv_transfer_config.kv_connector_extra_config
        self._config = TransferConfig.load(extra)
        self._facts = vllm_facts.describe(vllm_config, kv_cache_config, self._config)
        self._invalid_blocks: set[int] = set()
        if role == KVConnectorRole.SCHEDULER:
            warn_of_newer(vllm.__version__)
            vllm_facts.warn_of_failing_requests(vllm_config)
            self._scheduler = SchedulerSide.open(self._config, vllm_config, self._facts)

    # --- scheduler

    @property
    def requires_kv_delivery(self) -> bool:
        """A cache: a save that is dropped is a later miss, no reason to recompute."""
        return False

    def on_new_request(self, request: Request) -> None:
        self._scheduler.track(request)

    def get_num_new_matched_tokens(
        self, request: Request, num_computed_tokens: int
    ) -> tuple[int | None, bool]:
        external_tokens = self._scheduler.match(request, num_computed_tokens)
        return external_tokens, bool(external_tokens)

    def update_state_after_alloc(
        self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int
    ) -> None:
        self._scheduler.admit(request, blocks.get_block_ids()[0], num_external_tokens)

    def get_external_cache_hit_sources(
        self, request: Request, num_external_tokens: int
    ) -> dict[CacheHitSource, int]:
        return vllm_facts.hit_sources(self._scheduler.host_tokens(request), num_external_tokens)

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> StepPlan:
        return StepPlan(self._scheduler.plan(scheduler_output))

    def update_connector_output(self, connector_output: KVConnectorOutput) -> None:
        step = connector_output.kv_connector_worker_meta
        if isinstance(step, StepReport):
            received, sent = self._scheduler.take(step.report, step.step)
            connector_output.finished_recving = received or None
            connector_output.finished_sending = sent or None

    def request_finished(
        self, request: Request, block_ids: list[int]
    ) -> tuple[bool, dict[str, Any] | None]:
        return self._scheduler.finish(request, owns_blocks=bool(block_ids)), None

    def has_pending_block_frees(self) -> bool:
        return self._scheduler.holds_blocks

    def reset_cache(self) -> bool:
        self._scheduler.reset()
        return True

    # --- worker

    def register_kv_caches(self, kv_caches: dict[str, torch.Tensor]) -> None:
        rank = get_tensor_model_parallel_rank()
        self._worker = WorkerSide(self._config, self._facts, rank, kv_caches)

    def handle_preemptions(self, kv_connector_metadata: KVConnectorMetadata) -> None:
        assert isinstance(kv_connector_metadata, StepPlan)
        self._worker.before_writes(kv_connector_metadata.plan)

    def start_load_kv(self, forward_context: ForwardContext, **kwargs: Any) -> None:
        self._worker.load(self._plan)

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Loads are asynchronous: a request whose load has not ended is not computed."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: torch.Tensor, attn_metadata: Any, **kwargs: Any
    ) -> None:
        """Whole chunks are saved, after the step."""

    def wait_for_save(self) -> None:
        self._worker.save(self._plan)

    def get_finished(self, finished_req_ids: set[str]) -> tuple[None, None]:
        """Only look: what has ended travels in ``build_connector_worker_meta``."""
        self._invalid_blocks = self._worker.take_report(self._plan)
        return None, None

    def get_block_ids_with_load_errors(self) -> set[int]:
        return self._invalid_blocks

    def build_connector_worker_meta(self) -> StepReport | None:
        report, plan = self._worker.report(), self._plan
        is_wanted = report or plan.wants_report or plan.step is not None
        return StepReport(report, plan.step) if is_wanted else None

    @property
    def _plan(self) -> Plan:
        step: StepPlan = self._get_connector_metadata()
        return step.plan

    # --- both

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
        # The worker's side comes with the caches, should vLLM get so far.
        for side in ("_scheduler", "_worker"):
            if hasattr(self, side):
                getattr(self, side).close()
                delattr(self, side)
