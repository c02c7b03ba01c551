"""Carries out what blending asks of one worker, and reports what failed instead of raising."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.plan import Report
from kvtransfer.rare_log import RareLog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.connector.vllm.blend.blender import Blender
    from kvtransfer.plan import GapJob, Load
    from kvtransfer.worker.executor import Executor

_LOG = logging.getLogger("kvtransfer")


class GapWork:
    """For the worker's main thread.

    Args:
        open_blender: opens what tries and runs the model; called at the first blend.
        executor: is told how keys are rotated.
    """

    def __init__(self, open_blender: Callable[[], Blender], executor: Executor) -> None:
        self._open_blender = open_blender
        self._executor = executor
        self._blender: Blender | None = None
        self._report = Report()
        self._refusal: str | None = None
        self._log = RareLog()

    def prepare(self, loads: Sequence[Load]) -> None:
        """Before the first load that moves tokens: check that this model's keys can be moved.

        If they can't, such loads fail, and the scheduler is told to plan no more of them.
        """
        moving = next((load for load in loads if load.moves), None)
        if moving is None or self._blender is not None:
            return
        self._blender = blender = self._open_blender()
        try:
            blender.prepare(moving.moves[0].block_ids)
            self._executor.rotate_by(blender.rotation)
        except ConfigError as refused:
            self._refuse_model(str(refused))
        except Exception as error:  # noqa: BLE001 - vLLM goes on without
            self._log.warn_unexpected("the model could not be tried for blending", error)
            self._refuse_model(f"the model could not be tried: {error!r}")

    def compute(self, jobs: Sequence[GapJob]) -> None:
        """Compute the gaps of ``jobs``; they fail together."""
        if not jobs:
            return
        try:
            assert self._blender is not None, "gaps come behind passages"
            self._blender.compute(jobs)
        except Exception as error:  # noqa: BLE001 - the engine computes them instead
            self._log.warn_unexpected("gaps between passages could not be computed", error)
            self.refuse(jobs)
        else:
            self._report.computed.update((job.job, 1) for job in jobs)

    def refuse(self, jobs: Sequence[GapJob]) -> None:
        """Fail ``jobs``: they were planned for other weights."""
        for job in jobs:
            self._report.computed[job.job] = 1
            self._report.failed.add(job.job)

    def take(self) -> Report:
        """Return what has ended since the last call."""
        taken, self._report = self._report, Report()
        return taken

    def take_refusal(self) -> str | None:
        """Return once why this model can't be blended, if that was found."""
        taken, self._refusal = self._refusal, None
        return taken

    def _refuse_model(self, reason: str) -> None:
        self._refusal = reason
        _LOG.warning("blending is off: %s", reason)
