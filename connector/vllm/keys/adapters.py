"""Which content each request's LoRA adapter has, as the workers that have loaded it say.

Each request asks anew, when it comes: what was true for an earlier one may have been replaced.
The workers answer with the report of their next step, and load what they don't hold yet.
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
    from kvtransfer.requests.keys.adapter import Held
    from kvtransfer.requests.request_state import RequestState


class Adapters:
    """For the scheduler's thread."""

    @classmethod
    def open(cls, vllm_config: VllmConfig, ranks: int) -> Adapters:
        """For vLLM as configured."""
        from vllm.platforms import current_platform

        has_adapters = getattr(vllm_config, "lora_config", None) is not None
        return cls(ranks, spoil_others=has_adapters and current_platform.is_cpu())

    def __init__(self, ranks: int, *, spoil_others: bool = False) -> None:
        self._ranks = ranks
        self.spoil_others = spoil_others
        """vLLM's CPU kernels apply some adapter to requests without one that share its batch."""
        self._tickets = count()
        self._unsent: list[Question] = []
        self._asking: dict[int, Adapter] = {}
        self._are_used = False
        """Whether any request has named one."""

    def ask(self, state: RequestState) -> None:
        """Find out what the request's adapter holds, if it names one."""
        request: Request = state.request
        lora = request.lora_request
        if lora is None:
            return
        self._are_used = True
        state.adapter = adapter = Adapter(lora.lora_int_id)
        if lora.load_inplace:  # it is read again in every step, and may change in each
            adapter.is_known = True
            return
        ticket = next(self._tickets)
        self._asking[ticket] = adapter
        self._unsent.append((ticket, lora))

    def take(self, answers: Mapping[int, Sequence[Held | None]]) -> None:
        """Take in the workers' answers by question, one of each rank."""
        for ticket, helds in answers.items():
            adapter = self._asking.pop(ticket)
            adapter.held = _agreed(helds) if len(helds) == self._ranks else None
            adapter.is_known = True

    def plan(
        self, jobs: Iterable[tuple[int, RequestState]], used: Collection[RequestState]
    ) -> AdapterStep | None:
        """What the workers are to be asked and told in this step.

        Args:
            jobs: loads and saves of the step, and whose each is.
            used: requests that are running, or may be.
        """
        if not self._are_used:
            return None
        bound = {
            job: (state.adapter.adapter_id, state.adapter.held.changes)
            for job, state in jobs
            if state.adapter is not None and state.adapter.held is not None
        }
        questions, self._unsent = self._unsent, []
        if not questions and not bound:
            return None
        in_use = {it.adapter.adapter_id for it in used if it.adapter is not None and it.block_ids}
        return AdapterStep(tuple(questions), frozenset(in_use), bound)


def is_mixed(state: RequestState) -> bool:
    """Whether the request may go on from what another content of its adapter has computed.

    vLLM's own prefix cache knows adapters by name and path, and isn't emptied when one is
    replaced. What is computed after such tokens must not get this content's keys.
    """
    adapter = state.adapter
    return bool(state.local_tokens and adapter and adapter.held and not adapter.held.is_steady)


def _agreed(helds: Sequence[Held | None]) -> Held | None:
    """What all ranks hold together; with expert parallelism each has other tensors."""
    known = [held for held in helds if held is not None]
    if len(known) < len(helds) or len({held.changes for held in known}) > 1:
        return None
    digests = sorted({held.digest for held in known})
    is_steady = all(held.is_steady for held in known)
    return known[0]._replace(digest="+".join(digests), is_steady=is_steady)
