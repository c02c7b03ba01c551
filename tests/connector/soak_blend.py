"""Blended requests among plain ones, salted, late, preempted and aborted, with mishaps meanwhile.

``python -m tests.connector.soak_blend [--requests N] [--seed N] [--seconds N] [--runner v1|v2] [--json
FILE]``: each round is drawn from the seed and its number. One line of JSON tells what has come of all, which
is appended to the file. Ends with 1 if a plain answer was another one than vLLM's own, or less or
more probable by more than 1e-4, or if anything hung or blocks were lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import commit, machine
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Setup
from tests.connector.engines import Engines
from tests.connector.entries import Entries
from tests.connector.inputs import connected
from tests.connector.mixed_requests import Mishap, Round
from tests.connector.plain_vllm import PlainVllm
from tests.connector.tiny_model import write_model
from tests.connector.vllm_variants import V1, V2
from tests.faults.soak import WELL, append

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.connector.engine_process import Outcome, Request
    from tests.connector.engines import Engine
    from tests.connector.mixed_requests import Arrival

EXACT = 1e-4
"""How much a log-probability may differ from vLLM's own."""
_SMALL = {"max_model_len": 1024, "max_num_seqs": 6, "kv_cache_memory_bytes": 36 << 15}
"""36 blocks: six requests don't fit, and are preempted."""
_FEW_CHUNKS_GB = 0.003


class Wrong(Exception):
    """A promise was broken."""


@dataclass
class Mixing:
    """An engine with the connector, and one without; owns the first and the store."""

    engine: Engine
    right: PlainVllm
    server: EmbeddedServer

    @classmethod
    def start(cls, engines: Engines, model: str, right: PlainVllm) -> Mixing:
        """Start it, with room for few chunks in host memory and for few requests in the cache."""
        server = EmbeddedServer(64 << 20)
        setup = connected(model, server.url, options=_SMALL, max_local_cpu_size=_FEW_CHUNKS_GB)
        return cls(engines.start(setup), right, server)

    def run(self, mixed: Round) -> Counter[str]:
        """Run a round and see that all is well; returns counts of what has been seen.

        Raises:
            Wrong: a plain answer was another one than vLLM's own, or blocks were lost.
            EngineError: the engine ended, or hung.
        """
        self._arrive(mixed)
        outcome = self.engine.run()
        seen = self._check(mixed, outcome)
        if mixed.mishap is not None and not self.engine.reset():
            raise Wrong("blocks were lost")
        return seen

    def close(self) -> None:
        """End both."""
        self.engine.kill()
        self.server.close()

    def _arrive(self, mixed: Round) -> None:
        names: list[str] = []
        states: dict[str, str] = {}
        for step in range(mixed.steps):
            due = [a.request for a in mixed.arrivals if a.step == step]
            names += self.engine.submit(*due)
            for name, arrival in zip(names, mixed.arrivals, strict=False):
                if arrival.aborted_at == step:
                    self.engine.abort(name)
            if step == mixed.mishap_step:
                self._befall(mixed.mishap, states)
            states = self.engine.step()

    def _befall(self, mishap: Mishap | None, states: dict[str, str]) -> None:
        if mishap is None:
            return
        if mishap is Mishap.STORE_DAMAGED:
            with closing(Entries(self.server.url)) as entries:
                entries.flip_a_bit_of_each_payload()
            return
        # vLLM refuses to preempt what loads.
        may_preempt = "WAITING_FOR_REMOTE_KVS" not in states.values()
        self.engine.reset(
            connector=mishap is Mishap.CONNECTOR_RESET,
            running=mishap is Mishap.PREEMPTION and may_preempt,
        )

    def _check(self, mixed: Round, outcome: Outcome) -> Counter[str]:
        seen = Counter(rounds=1, requests=len(mixed.arrivals), preemptions=outcome.preemptions)
        right = self.right.generate(*mixed.requests)
        plain_first = sorted(enumerate(mixed.requests), key=lambda one: one[1].blend is not None)
        for number, request in plain_first:
            seen["salted"] += request.cache_salt is not None
            came_of_it = _came_of_it(mixed.arrivals[number], number, outcome)
            seen[came_of_it] += 1
            if came_of_it not in ("aborted", "blended"):
                _check_answer(number, request, outcome, right)
        return seen


def _came_of_it(arrival: Arrival, number: int, outcome: Outcome) -> str:
    told = outcome.blends[number]
    if arrival.aborted_at is not None and not outcome.answers[number]:
        return "aborted"
    if told is None:
        return "plain"
    if not told["reused_tokens"]:
        return "nothing to blend"
    # If nothing was preempted, what has failed was computed before it was answered.
    return "failed" if told["has_failed"] and not outcome.preemptions else "blended"


def _check_answer(number: int, request: Request, ours: Outcome, right: Outcome) -> None:
    which = f"request {number}, {'plain' if request.blend is None else request.blend}"
    if ours.answers[number] != right.answers[number]:
        raise Wrong(f"another answer to {which}")
    pairs = zip(ours.logprobs[number], right.logprobs[number], strict=True)
    apart = max(abs(a - b) for a, b in pairs)
    if apart > EXACT:
        raise Wrong(f"log-probabilities are {apart:.1e} apart, of {which}")


def soak(mixing: Mixing, seed: int, requests: int) -> Iterator[Counter[str]]:
    """Run rounds until there were ``requests`` of them; see :meth:`Mixing.run`."""
    for number in count():
        seen = mixing.run(Round.drawn(seed, number))
        yield seen
        requests -= seen["requests"]
        if requests <= 0:
            return


def main() -> None:
    options = _options()
    variants = [V1, V2] if options.runner is None else [V1 if options.runner == "v1" else V2]
    outcomes: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_model(Path(folder) / "tiny"))
        for variant in variants:
            logs = Path(folder, variant.name)
            logs.mkdir()
            with closing(Engines(logs, variant)) as engines:
                outcomes[variant.name] = _soaked(engines, model, options)
    found = {"seed": options.seed, **outcomes, "commit": commit(), "machine": machine()}
    print(json.dumps(found))
    if options.json is not None:
        append(options.json, found)
    sys.exit(any(outcome["outcome"] != WELL for outcome in outcomes.values()))


def _soaked(engines: Engines, model: str, options: argparse.Namespace) -> dict[str, object]:
    began_s = time.monotonic()
    seen: Counter[str] = Counter()
    outcome = WELL
    plain = Setup(model, options={"enable_prefix_caching": False})
    with (
        engines.start(plain) as right,
        closing(Mixing.start(engines, model, PlainVllm(right))) as mixing,
    ):
        try:
            for counts in soak(mixing, options.seed, options.requests):
                seen += counts
                if time.monotonic() - began_s > options.seconds:
                    break
        except Exception as error:  # noqa: BLE001 - any is a broken promise
            outcome = f"{type(error).__name__} in round {seen['rounds']}: {error}"
    return {**seen, "took_s": round(time.monotonic() - began_s, 1), "outcome": outcome}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000, help="on each runner")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--seconds", type=float, default=1800.0, help="on each runner, begin no more after these"
    )
    parser.add_argument("--runner", choices=["v1", "v2"], help="without it, one after the other")
    parser.add_argument("--json", type=Path, help="a file to which the line is appended")
    return parser.parse_args()


if __name__ == "__main__":
    main()
