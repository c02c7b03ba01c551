"""Shows our metrics in vLLM's log and on its ``/metrics`` page, as connector statistics."""

from __future__ import annotations

import logging
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
)

from kvtransfer.connector.summary import Totals, phrases, sums
from kvtransfer.metrics import COUNTERS, DURATIONS, GAUGES, TENANT_GAUGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG = logging.getLogger("kvtransfer")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class TransferStats(KVConnectorStats):
    """Carries what was counted since the last statistics were taken; ``data`` is plain JSON."""

    def reset(self) -> None:
        """Forget all amounts."""
        self.data: dict[str, Any] = {}

    def aggregate(self, other: KVConnectorStats) -> TransferStats:
        """Add the amounts of another side, worker or step; of two gauges keep the higher."""
        for name, amount in other.data.items():
            if name not in self.data:
                self.data[name] = amount
            elif name in GAUGES:
                self.data[name] = max(self.data[name], amount)
            elif name in TENANT_GAUGES:
                self.data[name] = _highest(self.data[name], amount)
            else:
                self.data[name] = self.data[name] + amount
        return self

    def reduce(self) -> dict[str, Any]:
        """Return the phrases that vLLM logs every few seconds; ``/metrics`` has the numbers."""
        return phrases(sums(self.data))

    def is_empty(self) -> bool:
        """Say whether nothing was counted."""
        return not self.data


class TransferPromMetrics(KVConnectorPromMetrics):
    """Exports each metric as ``kvtransfer:NAME`` to Prometheus, and logs the totals at exit.

    It lives in vLLM's front end, which exits in good order even when it kills the engine's
    processes.
    """

    def __init__(
        self,
        vllm_config: Any,
        metric_types: Any,
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> None:
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._totals = Totals()
        weakref.finalize(self, _tell, self._totals)
        self._record: dict[tuple[str, int], Callable[[Any], object]] = {}
        for name, metric, record in self._kinds():
            for engine, values in per_engine_labelvalues.items():
                self._record[name, engine] = partial(record, metric.labels(*values))
        for name, metric in self._tenant_gauges():
            for engine, values in per_engine_labelvalues.items():
                self._record[name, engine] = partial(_set_each, metric, values)

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Add the amounts that a :class:`TransferStats` held."""
        self._totals.add(transfer_stats_data)
        for name, amount in transfer_stats_data.items():
            self._record[name, engine_idx](amount)

    def _kinds(self) -> Iterator[tuple[str, Any, Callable[[Any, Any], object]]]:
        """Yield each name, its Prometheus metric, and the function that adds an amount to it."""
        histogram = partial(self._histogram_cls, buckets=BUCKETS_S)
        gauge = partial(self._gauge_cls, multiprocess_mode="mostrecent")
        for names, kind, record in (
            (COUNTERS, self._counter_cls, lambda counter, amount: counter.inc(amount)),
            (DURATIONS, histogram, _observe_all),
            (GAUGES, gauge, lambda gauge, value: gauge.set(value)),
        ):
            for name, meaning in names.items():
                yield (
                    name,
                    kind(
                        name=f"kvtransfer:{name}",
                        documentation=meaning,
                        labelnames=self._labelnames,
                    ),
                    record,
                )

    def _tenant_gauges(self) -> Iterator[tuple[str, Any]]:
        """Yield the name of each gauge of tenants, and its Prometheus metric."""
        for name, meaning in TENANT_GAUGES.items():
            yield (
                name,
                self._gauge_cls(
                    name=f"kvtransfer:{name}",
                    documentation=meaning,
                    labelnames=[*self._labelnames, "tenant"],
                    multiprocess_mode="mostrecent",
                ),
            )


def _highest(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {tenant: max(one.get(tenant, 0), other.get(tenant, 0)) for tenant in one | other}


def _set_each(gauge: Any, labels: list[object], by_tenant: dict[str, int]) -> None:
    for tenant, value in by_tenant.items():
        gauge.labels(*labels, tenant).set(value)


def _tell(totals: Totals) -> None:
    _LOG.info("in all: %s", totals)


def _observe_all(histogram: Any, seconds: list[float]) -> None:
    for each in seconds:
        histogram.observe(each)
