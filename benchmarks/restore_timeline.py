"""Shows what each thread does while one context is restored from Redis, and beside a busy neighbour.

``python -m benchmarks.restore_timeline [--tokens N] [--busy N] [--rounds N] [--json FILE]``: the
worker's executor, without vLLM, on paged memory as vLLM's CPU attention has it for SmolLM2-135M, and
an embedded Valkey. Of ``--rounds`` restores the median is shown, with ``--busy N`` once more beside
N processes that keep a core busy each. ``--json`` appends one line a restore: all spans.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.bench_pipeline import Restoring, restoring
from benchmarks.measure import commit, machine
from benchmarks.timeline import Timeline, as_json, drawn, summed
from benchmarks.ttft_engines import CHUNK_TOKENS
from kvtransfer.device.work import Scatter
from kvtransfer.stores.tiered import TieredStore
from kvtransfer.worker.executor import Executor
from kvtransfer.worker.fetches import Fetches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.timeline import Span

STAGES = [
    (TieredStore, "locate", "lookup"),
    (Executor, "run", "plan"),
    (Fetches, "_fetch", "fetch"),
    (Scatter, "__call__", "copy"),
    (Executor, "report", "report"),
    (Executor, "wait", "wait"),
]


def main() -> None:
    options = _options()
    with restoring(options.tokens // CHUNK_TOKENS) as it:
        for busy in dict.fromkeys((0, options.busy)):
            with neighbours(busy):
                spans = median_restore(it, options.rounds)
            print("\n".join(_told(f"{options.tokens} tokens beside {busy} busy processes", spans)))
            if options.json:
                _append(options.json, options.tokens, busy, spans)


def median_restore(it: Restoring, rounds: int) -> list[Span]:
    """Restore ``rounds`` times after one that doesn't count; return the median by its time."""
    timeline = Timeline()
    restores = []
    with timeline.watching(STAGES):
        for _ in range(rounds + 1):
            it.restore()
            restores.append(timeline.take())
            it.check()
            timeline.take()
    return sorted(restores[1:], key=_ended_s)[rounds // 2]


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy meanwhile, as far as the system gives them."""
    spin = [sys.executable, "-c", "while True: pass"]
    started = [subprocess.Popen(spin) for _ in range(count)]
    try:
        yield
    finally:
        for each in started:
            each.kill()
            each.wait()


def _ended_s(spans: Sequence[Span]) -> float:
    return max(span.end_s for span in spans)


def _told(title: str, spans: Sequence[Span]) -> Iterator[str]:
    yield f"\n{title}: {_ended_s(spans) * 1e3:.1f} ms"
    yield from drawn(spans)
    yield f"{'stage':10}{'calls':>7}{'from':>9}{'to':>9}{'took':>9}{'computed':>10}  ms"
    for stage, of in summed(spans).items():
        times = [of[name] * 1e3 for name in ("begin_s", "end_s", "took_s", "cpu_s")]
        yield f"{stage:10}{of['calls']:7.0f}{times[0]:9.1f}{times[1]:9.1f}{times[2]:9.1f}{times[3]:10.1f}"


def _append(path: Path, tokens: int, busy: int, spans: Sequence[Span]) -> None:
    line = {"tokens": tokens, "busy": busy, "spans": as_json(spans)}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**line, "commit": commit(), "machine": machine()}) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a restore to this file")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--busy", type=int, default=0, help="processes that keep a core busy each")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    if options.tokens < 1 or options.tokens % CHUNK_TOKENS:
        parser.error(f"--tokens {options.tokens}: whole chunks, a multiple of {CHUNK_TOKENS}")
    return options


if __name__ == "__main__":
    main()
