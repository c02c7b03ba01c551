"""The tier that vLLM makes behind its host memory: our stores, with all that they verify."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING, Any

from vllm.v1.kv_offload.base import (
    Locality,
    LookupResult,
    Medium,
    ReqContext,
    RequestOffloadingContext,
    ScheduleEndContext,
)
from vllm.v1.kv_offload.tiering.base import JobResult, SecondaryTierManager, TransferJob

from kvtransfer.connector.vllm.offloading.answers import Answers
from kvtransfer.connector.vllm.offloading.jobs import Jobs
from kvtransfer.connector.vllm.offloading.opened_stores import OpenedStores
from kvtransfer.connector.vllm.offloading.row_moves import RowFetches, RowPuts
from kvtransfer.connector.vllm.offloading.row_names import RowNames
from kvtransfer.connector.vllm.offloading.rows import Rows
from kvtransfer.connector.vllm.offloading.settings import read_settings
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vllm.v1.kv_offload.base import OffloadingSpec, OffloadKey
    from vllm.v1.kv_offload.tiering.backpressure import BackpressureDetector

_LOG = logging.getLogger("kvtransfer")
_DRAIN_S = 10.0
# Rows that wait to be put are kept by vLLM, which must have room for others.
_WAITING_SHARE = 2


class KVTransferTier(SecondaryTierManager):
    """vLLM calls it from one thread at a time; no call but ``drain_jobs`` and ``shutdown`` waits.

    Args:
        offloading_spec: vLLM's configuration of its offloading.
        primary_kv_view: vLLM's host memory, ``[chunks, bytes]``, until ``shutdown``.
        tier_type: the name that vLLM's metrics have for the tier.
        backpressure_detector: vLLM's own, which we only pass on.
        locality: ``LOCAL`` or ``REMOTE``, by which requests may choose tiers.
        covered_by_keys: see :mod:`kvtransfer.connector.vllm.offloading.covered`; our plug-in adds it.
        settings: those of ``USED``.

    Raises:
        ConfigError: a setting is wrong, or our plug-in did not see the configuration.
    """

    medium = Medium.STORAGE

    def __init__(
        self,
        offloading_spec: OffloadingSpec,
        primary_kv_view: memoryview,
        tier_type: str,
        backpressure_detector: BackpressureDetector | None = None,
        locality: str | None = None,
        covered_by_keys: str = "",
        **settings: Any,
    ) -> None:
        super().__init__(offloading_spec, primary_kv_view, tier_type, backpressure_detector)
        self.locality = Locality(locality) if locality else None
        if not covered_by_keys:
            raise ConfigError(
                "kvtransfer's plug-in has not seen this configuration, so keys can't say which "
                "model they are for; let VLLM_PLUGINS name kvtransfer, or leave it unset"
            )
        config = read_settings(settings)
        rows = Rows(primary_kv_view)
        offloading = offloading_spec.config
        stores = OpenedStores.of(config, offloading, rows.row_bytes)
        names = RowNames.of(offloading, config, covered_by_keys, rows.row_bytes)
        self._rows = rows
        self._names = names
        self._jobs = Jobs()
        self._answers = Answers(stores.questions, names, config.lookup_timeout_ms / 1000)
        self._store = stores.moving
        start_within_s = config.load_timeout_ms / 1000
        self._fetches = RowFetches(
            self._store, rows, self._jobs, config.remote_connections, start_within_s
        )
        self._puts = RowPuts(self._store, rows, self._jobs, max(1, rows.count // _WAITING_SHARE))

    def lookup(self, key: OffloadKey, req_context: ReqContext) -> LookupResult:
        """See the base class; RETRY until the store has answered, at most for lookup_timeout_ms."""
        held = self._answers.holds(req_context.req_id, key)
        if held is None:
            return LookupResult.RETRY
        return LookupResult.HIT if held else LookupResult.MISS

    def on_schedule_end(self, context: ScheduleEndContext) -> None:
        """Ask the store about all keys of this step at once."""
        self._answers.ask()

    def submit_store(self, job_metadata: TransferJob) -> None:
        """See the base class; rows for which the queue has no room fail."""
        self._puts.begin(self._jobs.begin(job_metadata), self._names)

    def submit_load(self, job_metadata: TransferJob) -> None:
        """See the base class."""
        self._fetches.begin(self._jobs.begin(job_metadata), self._names)

    def get_finished_jobs(self) -> Iterable[JobResult]:
        """See the base class; what could not be loaded is a miss for all requests under way."""
        for job in self._jobs.take():
            if job.is_load:
                self._answers.miss(job.failed)
            yield job.result(self._rows.row_bytes)

    def on_new_request(self, req_context: ReqContext) -> RequestOffloadingContext:
        """See the base class; rows that host memory has had before were offered before."""
        return RequestOffloadingContext()

    def on_request_finished(self, req_context: ReqContext) -> None:
        """See the base class."""
        self._answers.forget(req_context.req_id)

    def drain_jobs(self) -> None:
        """See the base class; vLLM resets its cache, as it does when the weights change.

        Nothing tells whether they have. So from now on rows get names that are found nowhere else.
        """
        self._fetches.cancel()
        self._puts.cancel()
        self._jobs.wait()
        self._names = self._names.private()
        self._answers.rename(self._names)
        _LOG.warning(
            "vLLM has reset its offloading, perhaps for other weights: until it starts again, this "
            "engine neither restores what others have stored nor stores what others can restore"
        )

    def shutdown(self) -> None:
        """See the base class; puts what waits for at most ten seconds."""
        with closing(self._store):
            self._puts.close(_DRAIN_S)
            self._fetches.close()
            self._answers.close()
        self._rows.release()
