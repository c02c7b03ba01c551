"""What all decisions about an engine's requests rest on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvtransfer.metrics import Metrics
from kvtransfer.requests.eviction_choice import eviction_policy
from kvtransfer.requests.loading.store_answers import NoStore
from kvtransfer.requests.timing import Timing
from kvtransfer.requests.trace_file import TraceFile
from kvtransfer.scheduling.lookup.lookup import Lookup
from kvtransfer.scheduling.planner import Planner

if TYPE_CHECKING:
    from kvtransfer.chunks.groups import Groups
    from kvtransfer.chunks.keys import EntryKeys
    from kvtransfer.chunks.layout import Formats
    from kvtransfer.config import TransferConfig
    from kvtransfer.requests.loading.store_answers import StoreAnswers


@dataclass(frozen=True)
class Duties:
    """What this instance does, by its role and configuration."""

    loads: bool
    saves: bool
    saves_decode: bool
    """Whether it saves generated tokens too, not only prompts."""


@dataclass(frozen=True)
class Basis:
    """Slots, the store's answers, learned times and counters of one engine's scheduler."""

    planner: Planner
    store: StoreAnswers
    timing: Timing
    groups: Groups
    duties: Duties
    metrics: Metrics
    gap_tokens_a_step: int = 2048
    """Tokens between reused passages that one step computes at most."""
    trace: TraceFile | None = None
    """Records requests. None: nothing does."""
    longest_wait_s: float = 0.5
    """The longest that a request waits for what a store is said to get."""

    def close(self) -> None:
        """End the lookups and the record."""
        self.store.close()
        if self.trace is not None:
            self.trace.close()

    @classmethod
    def open(
        cls,
        config: TransferConfig,
        formats: Formats,
        names: EntryKeys,
        groups: Groups,
        duties: Duties,
        workers: int,
    ) -> Basis:
        """For ``workers`` that all carry out each job; the store is connected to when first asked."""
        metrics = Metrics()
        planner = Planner.open(config, formats, workers, eviction_policy(config, groups))
        metrics.watch_tenants("tenant_host_bytes", planner.index.tenant_bytes)
        lookup = Lookup.open(config, formats, names) if duties.loads else None
        return cls(
            planner,
            lookup or NoStore(),
            Timing(config.load_margin, metrics),
            groups,
            duties,
            metrics,
            config.blend_step_tokens,
            _trace(config, groups),
            config.lookup_timeout_ms / 1000,
        )


def _trace(config: TransferConfig, groups: Groups) -> TraceFile | None:
    if config.trace_file is None:
        return None
    return TraceFile(Path(config.trace_file), groups.chunk_tokens)
