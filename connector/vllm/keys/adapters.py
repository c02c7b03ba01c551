"""Asks the workers which content each request's LoRA adapter has.

We ask anew for each request, since an adapter may be replaced between two requests. The workers
load an adapter that they don't hold yet, and answer with the report of their next step.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.messages import AdapterStep
from kvtransfer.requests.keys.adapter import Adapter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from vllm.config import VllmConfig
    from vllm.v1.request import Request

    from kvtransfer.connector.vllm.messages import Question
    from kvtransfer.plan import Load, Save
    from kvtransfer.requests.keys.adapter import Held
    from kvtransfer.requests.request_state import RequestState


class Adapters:
    """Keeps the questions that workers have not answered; only the scheduler's thread may call it."""

    @classmethod
    def open(cls, vllm_config: VllmConfig, ranks: int) -> Adapters:
        """Return an instance for vLLM as configured, with ``ranks`` workers."""
        from vllm.platforms import current_platform

        has_adapters = getattr(vllm_config, "lora_config", None) is not None
        return cls(ranks, spoil_others=has_adapters and current_platform.is_cpu())

    def __init__(self, ranks: int, *, spoil_others: bool = False) -> None:
        self._ranks = ranks
        self.spoil_others = spoil_others
        """Whether requests without an adapter may be computed with one that is in their batch.

        vLLM's CPU kernels do that."""
        self._tickets = count()
        self._unsent: list[Question] = []
        self._asking: dict[int, Adapter] = {}
        self._are_used = False
        """Whether any request so far has named an adapter."""

    def ask(self, state: RequestState) -> None:
        """Ask for the content of the request's adapter, if it names one."""
        request: Request = state.request
        lora = request.lora_request
        if lora is None:
            return
        self._are_used = True
        state.adapter = adapter = Adapter(lora.lora_int_id)
        if lora.load_inplace:  # vLLM reads it again in every step, so it may change in each
            adapter.is_known = True
            return
        ticket = next(self._tickets)
        self._asking[ticket] = adapter
        self._unsent.append((ticket, lora))

    def take(self, answers: Mapping[int, Sequence[Held | None]]) -> None:
        """Take in the workers' answers by ticket, one from each rank."""
        for ticket, helds in answers.items():
            adapter = self._asking.pop(ticket)
            adapter.held = _agreed(helds) if len(helds) == self._ranks else None
            adapter.is_known = True

    def plan(
        self, jobs: Iterable[tuple[Load | Save, RequestState]], used: Collection[RequestState]
    ) -> AdapterStep | None:
        """Return what to ask and tell the workers in this step; None: nothing.

        Args:
            jobs: the step's loads and saves, each with the request that it serves.
            used: requests that are running, or may be.
        """
        if not self._are_used:
            return None
        bound = {
            job.job: (state.adapter.adapter_id, state.adapter.held.changes)
            for job, state in jobs
            if state.adapter is not None and state.adapter.held is not None
        }
        questions, self._unsent = self._unsent, []
        if not questions and not bound:
            return None
        in_use = {it.adapter.adapter_id for it in used if it.adapter is not None and it.block_ids}
        return AdapterStep(tuple(questions), frozenset(in_use), bound)


def is_mixed(state: RequestState) -> bool:
    """Say whether the request's first tokens may be computed with an older content of its adapter.

    vLLM's own prefix cache knows adapters by name and path, and keeps its blocks when one is
    replaced. What is computed behind such tokens must not get the new content's keys.
    """
    adapter = state.adapter
    return bool(state.local_tokens and adapter and adapter.held and not adapter.held.is_steady)


def _agreed(helds: Sequence[Held | None]) -> Held | None:
    """Combine what all ranks hold; with expert parallelism each has tensors of its own."""
    known = [held for held in helds if held is not None]
    if len(known) < len(helds) or len({held.changes for held in known}) > 1:
        return None
    digests = sorted({held.digest for held in known})
    is_steady = all(held.is_steady for held in known)
    return known[0]._replace(digest="+".join(digests), is_steady=is_steady)
