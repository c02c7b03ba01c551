"""Describes what one request loads, from its admission until it is received."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtransfer.chunks.load_order import LoadOrder
    from kvtransfer.requests.blending.blend_order import BlendOrder
    from kvtransfer.requests.blending.gap_progress import GapProgress
    from kvtransfer.requests.loading.match import Span
    from kvtransfer.requests.request_state import RequestState
    from kvtransfer.requests.timing import LoadTimer
    from kvtransfer.scheduling.cost.runs import Run
    from kvtransfer.scheduling.lookup.located import Located
    from kvtransfer.scheduling.reservation import Reservation


@dataclass
class Loading:
    """For the scheduler's thread, which alone writes it."""

    state: RequestState
    span: Span
    order: LoadOrder | BlendOrder
    reservation: Reservation
    located: Located
    """Where the store was found to have its chunks."""
    runs: Sequence[Run]
    """The tokens of ``span``, by the tier that they come from."""
    timer: LoadTimer | None
    """None: the loads tell nothing about how long loads take."""
    deadline_s: float
    jobs: dict[int, str] = field(default_factory=dict)
    """The tier of each load under way."""
    gaps: GapProgress | None = None
    """What is computed once all loads have ended; None: nothing, or nothing any more."""
    failed_tier: str | None = None
    """The tier of the first load that has failed."""

    def tokens_before(self, failed_job: int) -> int:
        """The tokens that a traced load brings as they were computed, before ``failed_job``."""
        record = self.state.record
        assert record is not None
        jobs = list(record.tiers)
        arrived = jobs.index(failed_job) if failed_job in record.tiers else len(jobs)
        tokens = self.order.tokens(arrived)
        if record.blend is not None:
            tokens = min(tokens, record.blend.start - self.span.first_token)
        return tokens

    def blocks_behind(self, tokens: int, block_tokens: int) -> Sequence[int]:
        """The blocks from the one that begins with token number ``tokens`` on, of one cache group.

        They end with the last block that is loaded.
        """
        end = self.span.first_token + self.span.tokens
        (block_ids,) = self.state.block_ids
        return block_ids[tokens // block_tokens : -(-end // block_tokens)]
