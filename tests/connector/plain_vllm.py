"""What vLLM answers without us: the expectation of every test of an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.connector.engine_process import Outcome, Request
    from tests.connector.engines import Engine


class PlainVllm:
    """An engine that computes every token; what it has answered once is not computed again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._outcomes: dict[str, Outcome] = {}

    def generate(self, *requests: Request) -> Outcome:
        """See :meth:`Engine.generate`."""
        asked = repr(requests)
        if asked not in self._outcomes:
            self._outcomes[asked] = self._engine.generate(*requests)
        return self._outcomes[asked]
