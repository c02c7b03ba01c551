"""Our metrics as vLLM's connector statistics, in its log and on its ``/metrics``."""

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
from kvtransfer.metrics import COUNTERS, DURATIONS, GAUGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG = logging.getLogger("kvtransfer")
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class TransferStats(KVConnectorStats):
    """What was counted since the last ones were taken; ``data`` is plain JSON."""

    def reset(self) -> None:
        """Forget all of it."""
        self.data: dict[str, Any] = {}

    def aggregate(self, other: KVConnectorStats) -> TransferStats:
        """Add the amounts of ``other``, of another side, worker or step; the higher of gauges."""
        for name, amount in other.data.items():
            if name not in self.data:
                self.data[name] = amount
            elif name in GAUGES:
                self.data[name] = max(self.data[name], amount)
            else:
                self.data[name] = self.data[name] + amount
        return self

    def reduce(self) -> dict[str, Any]:
        """What vLLM logs every few seconds, in words for people; ``/metrics`` has the numbers."""
        return phrases(sums(self.data))

    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not self.data


class TransferPromMetrics(KVConnectorPromMetrics):
    """``kvtransfer:NAME`` for each of ours, in Prometheus' kinds; at the end the totals are logged.

    VLLM's front end makes it, which ends in good order where the engine's processes are killed.
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

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Take in what :class:`TransferStats` held."""
        self._totals.add(transfer_stats_data)
        for name, amount in transfer_stats_data.items():
            self._record[name, engine_idx](amount)

    def _kinds(self) -> Iterator[tuple[str, Any, Callable[[Any, Any], object]]]:
        """Each name, its metric, and how that takes in an amount."""
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


def _tell(totals: Totals) -> None:
    _LOG.info("in all: %s", totals)


def _observe_all(histogram: Any, seconds: list[float]) -> None:
    for each in seconds:
        histogram.observe(each)
