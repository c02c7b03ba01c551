"""Where faults are let loose on a whole engine: its store behind a proxy, and what it must answer."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from tests.connector.engine_process import Request
from tests.connector.inputs import prompt
from tests.faults.arena import DEADLINE_S, Arena, Wrong

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.connector.engine_process import Outcome
    from tests.connector.engines import Engine, Engines
    from tests.connector.models.tiny import TinyModel

RESUMES_S = 60.0
"""The store's breaker rests for seconds after a fault, and a busy machine takes its time."""
_DEADLINE_MS = int(1000 * DEADLINE_S)  # for which the faults of the store are made
SETTINGS = {
    "local_cpu": False,  # each load is a fetch
    "lookup_timeout_ms": _DEADLINE_MS,
    "load_timeout_ms": 2 * _DEADLINE_MS,
    "remote_timeout_ms": _DEADLINE_MS,
}
MODEL_TOKENS, STEP_TOKENS = 1024, 384
OPTIONS = {
    "max_model_len": MODEL_TOKENS,
    "max_num_batched_tokens": STEP_TOKENS,
    "enable_chunked_prefill": True,
}
SPARE_BLOCKS = 7
"""Beside those of one long request: too few for four at once, so some are preempted."""
FAMILIES, MEMBERS, SHARED_TOKENS = 3, 4, 192


def known_requests() -> list[Request]:
    """Families of prompts with a common beginning; every storm asks for some of them."""
    return [
        Request(
            prompt(SHARED_TOKENS, seed=1000 + family)
            + prompt(60 * (member + 1), seed=2000 + 10 * family + member),
            answer_tokens=4 if member else 40,
        )
        for family in range(FAMILIES)
        for member in range(MEMBERS)
    ]


class Ground(Arena):
    """An arena for the faults of :mod:`tests.faults.known`, where an engine is who puts and gets."""

    def __init__(self, engines: Engines, model: TinyModel, **settings: object) -> None:
        super().__init__()
        self.chance = random.Random(0)
        """Which entries a fault strikes."""
        self._engines = engines
        self._right: dict[tuple[int, ...], list[int]] = {}
        self._plain = engines.start(model.plain())
        blocks = self._plain.caches().blocks(MODEL_TOKENS, STEP_TOKENS) + SPARE_BLOCKS
        options = {**OPTIONS, "num_gpu_blocks_override": blocks}
        self._setup = model.connected(self.url, options=options, **{**SETTINGS, **settings})
        self.engine: Engine = engines.start(self._setup)

    @property
    def payload_name(self) -> str:
        """Of any entry."""
        return self.chance.choice(self.control.keys("*_bytes") or [b"none_bytes"]).decode()

    @property
    def record_name(self) -> str:
        return self.payload_name.removesuffix("_bytes")

    def damage(self, change: Callable[[bytes], bytes]) -> None:
        name = self.payload_name
        if payload := self.control.get(name):
            self.control.set(name, change(payload))

    def restart_engine(self) -> None:
        """As after a crash: killed at whatever it is doing."""
        self.engine.kill()
        self.engine = self._engines.start(self._setup)

    def check(self, requests: list[Request], outcome: Outcome, aborted: set[int]) -> None:
        """Every answer is vLLM's own; an aborted request has none, or was faster."""
        for number, (request, answer) in enumerate(zip(requests, outcome.answers, strict=True)):
            if answer != self.right(request) and not (number in aborted and answer == []):
                raise Wrong(f"request {number} was answered otherwise than computed")

    def right(self, request: Request) -> list[int]:
        """What vLLM alone answers."""
        key = (*request.prompt_ids, request.answer_tokens)
        if key not in self._right:
            (self._right[key],) = self._plain.generate(request).answers
        return self._right[key]

    def assert_hits(self, request: Request) -> float:
        """Soon ``request`` is saved and restored again; how many seconds that took."""
        began_s = time.monotonic()
        while time.monotonic() < began_s + RESUMES_S:
            self.assert_whole()
            outcome = self.engine.generate(request)
            self.check([request], outcome, set())
            if outcome.external_tokens:
                return time.monotonic() - began_s
        raise Wrong("no hits any more")

    def assert_whole(self) -> None:
        """No block is lost: vLLM's own cache can be emptied."""
        if not self.engine.reset():
            raise Wrong("blocks were lost")

    def close(self) -> None:
        self.engine.kill()
        self._plain.kill()
        super().close()
