"""Plans the computing of gaps, once the passages around them have come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.plan import GapJob

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.requests.loading.under_way import Loading
    from kvtransfer.scheduling.planner import Planner


class GapJobs:
    """Requests with gaps that have no jobs yet, in the order in which their passages have come.

    Args:
        planner: numbers the jobs.
        block_tokens: tokens of a block.
    """

    def __init__(self, planner: Planner, block_tokens: int) -> None:
        self._planner = planner
        self._block_tokens = block_tokens
        self._waiting: dict[str, Loading] = {}

    def __bool__(self) -> bool:
        """Whether gaps wait for their jobs."""
        return bool(self._waiting)

    def enqueue(self, loading: Loading) -> None:
        """All passages of this request have come."""
        self._waiting[loading.state.request_id] = loading

    def give_up(self, loading: Loading) -> None:
        """No more of the request's gaps is to be computed."""
        loading.gaps = None
        self._waiting.pop(loading.state.request_id, None)

    def plan(self, most_tokens: int) -> Iterator[tuple[Loading, GapJob]]:
        """The jobs of a step, of at most ``most_tokens``, each with its request."""
        for loading in list(self._waiting.values()):
            if most_tokens <= 0 or loading.gaps is None:
                return
            gaps = loading.gaps.take(most_tokens)
            most_tokens -= sum(end - start for start, end in gaps)
            if not loading.gaps.left:
                del self._waiting[loading.state.request_id]
            yield loading, self._job(loading, gaps)

    def _job(self, loading: Loading, gaps: tuple[tuple[int, int], ...]) -> GapJob:
        ids = loading.state.request.all_token_ids
        tokens = [token for start, end in gaps for token in ids[start:end]]
        blocks = loading.blocks_behind(0, self._block_tokens)
        return GapJob(self._planner.compute(), tuple(blocks), gaps, tuple(tokens))
