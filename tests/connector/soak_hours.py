"""Hours of requests in minutes, while Redis comes and goes: does anything grow?

``python -m tests.connector.soak_hours [--seconds N] [--json FILE]``: rounds of a Redis that is well,
gone, and silent; after each, memory, threads, file descriptors and log of the engine. Appends one
line; ends with 1 if something has grown since the end of the first round, which is the warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from benchmarks.measure import commit, machine
from tests.connector.engine_process import Request
from tests.connector.engines import Engines
from tests.connector.ground import Ground, known_requests
from tests.connector.inputs import prompt
from tests.connector.models.tiny import TinyModel
from tests.connector.tiny_model import write_model
from tests.faults.soak import append

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.connector.engine_process import Outcome

ROUNDS = 4
MOST_GROWTH_BYTES = 16 << 20
"""Of memory, from the first round's end on: an allocator's noise, not a request's leftovers."""
MOST_LINES_A_MINUTE = 4
"""Of the log: the lookup's store and the worker's may each complain once a minute."""
_AT_ONCE = 4
_FEW_SHAPES = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "4"}
"""oneDNN keeps code for each number of tokens computed at once: tens of MB until it has seen all."""
_LITTLE_HOST_MEMORY = {"local_cpu": True, "max_local_cpu_size": 0.01}
"""GiB: 160 chunks, so that there is eviction all the time."""


@dataclass(frozen=True)
class State:
    """Of the engine's process, at the end of a phase."""

    phase: str
    requests: int
    """So far."""
    hit_tokens: int
    """In the phase, from beyond vLLM's own cache."""
    memory_bytes: int
    """Without code and other files, which come in as they are first used."""
    threads: int
    fds: int
    log_lines: int
    """In the phase."""


class Hours:
    """Keeps ``ground``'s engine busy, and looks at its process."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._process = psutil.Process(ground.engine.pid)
        self._chance = random.Random(1)
        self._requests = 0

    def phase(self, name: str, seconds: float) -> State:
        """Send requests for ``seconds``; return what was seen."""
        log_lines = self._log_lines()
        hit_tokens, end_s = 0, time.monotonic() + seconds
        while time.monotonic() < end_s:
            requests = [self._request() for _ in range(_AT_ONCE - 1)]
            requests.append(self._chance.choice(known_requests()))
            outcome = self._ground.engine.generate(*requests)
            self._ground.check(requests[-1:], _last_of(outcome), set())
            hit_tokens += outcome.external_tokens
            self._requests += len(requests)
        log_lines = self._log_lines() - log_lines
        self._ground.assert_whole()
        memory = self._process.memory_info()
        return State(
            name,
            self._requests,
            hit_tokens,
            memory.rss - memory.shared,
            self._process.num_threads(),
            self._process.num_fds(),
            log_lines,
        )

    def _log_lines(self) -> int:
        """Ours: vLLM's begin with its process, and tell its throughput every ten seconds."""
        lines = self._ground.engine.log().splitlines()
        return sum(not line.startswith("(") for line in lines)

    def _request(self) -> Request:
        """A new prompt, or one of some time ago."""
        seed = self._chance.randint(max(0, self._requests - 200), self._requests)
        return Request(prompt(64 + seed % 150, seed=50_000 + seed), answer_tokens=1)


def _last_of(outcome: Outcome) -> Outcome:
    return replace(outcome, answers=outcome.answers[-1:])


def phases(ground: Ground) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What brings each about, and what ends it."""
    return {
        "well": (lambda: None, lambda: None),
        "gone": (ground.kill, ground.restart),
        "silent": (
            lambda: os.kill(ground.server.pid, signal.SIGSTOP),
            lambda: os.kill(ground.server.pid, signal.SIGCONT),
        ),
    }


def soak(ground: Ground, seconds: float) -> list[State]:
    hours, states = Hours(ground), []
    kinds = phases(ground)
    for _ in range(ROUNDS):
        for name, (begin, end) in kinds.items():
            begin()
            states.append(hours.phase(name, seconds / ROUNDS / len(kinds)))
            end()
    return states


def summary(states: list[State], seconds: float) -> dict[str, object]:
    """The line, with what has grown since the first round."""
    first, last = states[len(states) // ROUNDS - 1], states[-1]
    growth = {
        name: asdict(last)[name] - asdict(first)[name] for name in ("memory_bytes", "threads")
    }
    growth["fds"] = last.fds - first.fds
    lines_a_minute = sum(state.log_lines for state in states) / seconds * 60
    is_flat = (
        growth["memory_bytes"] <= MOST_GROWTH_BYTES
        and growth["threads"] <= 1
        and growth["fds"] <= 4  # connections that are being made anew
        and lines_a_minute <= MOST_LINES_A_MINUTE
    )
    return {
        "soak": "hours",
        "seconds": seconds,
        "requests": last.requests,
        "hours_at_one_a_second": round(last.requests / 3600, 2),
        "growth": growth,
        "log_lines_a_minute": round(lines_a_minute, 2),
        "is_flat": is_flat,
        "states": [asdict(state) for state in states],
        "commit": commit(),
        "machine": machine(),
    }


def main() -> None:
    options = _options()
    os.environ |= _FEW_SHAPES
    with tempfile.TemporaryDirectory() as folder:
        model = str(write_model(Path(folder, "tiny")))
        with (
            closing(Engines(Path(folder))) as engines,
            closing(Ground(engines, TinyModel(model), **_LITTLE_HOST_MEMORY)) as ground,
        ):
            line = summary(soak(ground, options.seconds), options.seconds)
    print(json.dumps(line, indent=1))
    if options.json is not None:
        append(options.json, line)
    sys.exit(not line["is_flat"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
