"""Tells a router's two workers each case, and asks the router for the context of it."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.router_credits.worker import BLOCK, CHUNK, Worker
from kvtransfer.stores.embedded.address import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.router_credits.cases import Case
    from benchmarks.router_credits.dynamo_selection import DynamoSelection
    from benchmarks.router_credits.vllm_router import VllmRouter

    Router = VllmRouter | DynamoSelection

DEADLINE_S = 120.0
# Behind the context, computed by whichever worker gets the request.
_TAIL = range(1 << 30, (1 << 30) + 20)
_MOST_TOKENS = 1024


class Outcome(NamedTuple):
    """What a router made of a case."""

    case: Case
    told: dict[str, int]
    """Tokens of the case that routers were told of and not of the end of, by the tier's name."""
    credited_tokens: int
    """The least, where two requests came at once, one for each worker."""
    chosen: set[str]
    """The workers that got a request: ``own``, which has told of the case, or ``other``."""

    @property
    def went(self) -> str:
        """Where the requests went, as ``Case.goes_to`` says it."""
        return "both" if len(self.chosen) > 1 else "".join(self.chosen)

    def is_right(self, router: str) -> bool:
        """Whether ``router`` credits what it is to credit, and chose a worker that has it."""
        expected = self.case.credit(router)
        is_there = not expected or self.case.goes_to in ("any", self.went)
        return self.credited_tokens == expected and is_there


def outcomes(kind: type[Router], cases: Sequence[Case], folder: Path) -> Iterator[Outcome]:
    """Run ``cases``, one after the other, on a router of ``kind`` with two fresh workers."""
    ports = [free_port(), free_port()]
    with ExitStack() as opened:
        workers = [
            opened.enter_context(closing(Worker(kind.dialect, port, kind.topic))) for port in ports
        ]
        router = opened.enter_context(closing(kind(folder, ports, BLOCK)))
        _await(router.is_ready)
        prompts = iter(range(1, 1 << 20))
        for worker in workers:
            _await(lambda worker=worker: _is_heard(router, worker, next(prompts)))
        for number, case in enumerate(cases):
            yield _run(router, workers[number % 2], case, prompts)


def _run(router: Router, own: Worker, case: Case, prompts: Iterator[int]) -> Outcome:
    tokens = _fresh(next(prompts))[: case.chunks * CHUNK]
    prompt = [*tokens, *_TAIL]
    case.happen(own, prompt)
    own.publish()
    _await(lambda: _is_heard(router, own, next(prompts)))
    routes = router.route_together(prompt) if case.goes_to == "both" else [router.route(prompt)]
    chosen = {"own" if router.event_ports[number] == own.port else "other" for number, _ in routes}
    credited_tokens = min(credited_tokens for _, credited_tokens in routes)
    return Outcome(case, own.told(prompt), credited_tokens, chosen)


def _is_heard(router: Router, worker: Worker, prompt: int) -> bool:
    """Whether the router knows what ``worker`` published last, so all that it published before."""
    tokens = _fresh(prompt)[:CHUNK]
    worker.compute_on_device(tokens)
    deadline_s = time.monotonic() + 1.0
    while time.monotonic() < deadline_s:
        if router.route([*tokens, 1])[1] == CHUNK:
            return True
        time.sleep(0.02)
    return False  # the router had not subscribed yet: say it again


def _fresh(prompt: int) -> range:
    return range(prompt * _MOST_TOKENS, (prompt + 1) * _MOST_TOKENS)


def _await(holds) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the router has not heard of a worker")
        time.sleep(0.05)
