"""Our counters as vLLM's connector statistics, in its log and on its ``/metrics``."""

from __future__ import annotations

from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
)

from kvtransfer.metrics import COUNTERS


class TransferStats(KVConnectorStats):
    """Amounts by counter since the last ones were taken; ``data`` is plain JSON."""

    def reset(self) -> None:
        """Forget all amounts."""
        self.data: dict[str, Any] = {}

    def aggregate(self, other: KVConnectorStats) -> TransferStats:
        """Add the amounts of ``other``, of another side or worker."""
        for name, amount in other.data.items():
            self.data[name] = self.data.get(name, 0) + amount
        return self

    def reduce(self) -> dict[str, int | float]:
        """What vLLM logs every few seconds."""
        return {name: round(amount, 4) for name, amount in self.data.items()}

    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return not self.data


class TransferPromMetrics(KVConnectorPromMetrics):
    """A Prometheus counter ``kvtransfer:NAME_total`` for each of ours."""

    def __init__(
        self,
        vllm_config: Any,
        metric_types: Any,
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> None:
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        self._counters = {}
        for name, meaning in COUNTERS.items():
            counter = self._counter_cls(
                name=f"kvtransfer:{name}", documentation=meaning, labelnames=labelnames
            )
            for engine, values in per_engine_labelvalues.items():
                self._counters[name, engine] = counter.labels(*values)

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Add what :class:`TransferStats` held."""
        for name, amount in transfer_stats_data.items():
            self._counters[name, engine_idx].inc(amount)
