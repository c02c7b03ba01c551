"""What several cache groups cost and save, beside storing every layer of every chunk.

``python -m benchmarks.bench_groups [--json FILE] [--requests N]``. Two engines run one after the
other: the second one has an empty host memory and finds what the first one has stored. The
scheduler's side is the real one; a stand-in for vLLM keeps the tables of blocks as vLLM does, and a
stand-in for the store answers at once. Nothing is copied: the bytes are those of the jobs.

- ``window``: sizes of Gemma 3 27B, five layers with a window of 1024 tokens for one with full
  attention. ``states``: of Qwen3-Next 80B, three recurrent layers for one with full attention.
- ``kvtransfer``: windows and states are stored where a later request may continue. ``whole``: every
  layer is stored of every chunk, a state as of each chunk's end.

The cases ``.../8192/bytes`` are one prompt of 8192 tokens and a question of 8, which is another one
in the second engine: what the first engine stores, and in ``fetched_gib`` what the second fetches. The cases ``.../calls/...`` are the times of the scheduler's calls in the second
engine under many prompts, half of them known to the first one; their column ``mean_us`` is the mean.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING

from benchmarks.bench_scheduler import key_builder_of
from benchmarks.group_load import GroupLoop, StoredPieces
from benchmarks.group_models import states, whole, windows
from benchmarks.measure import Row, append_rows, print_table, quantiles
from benchmarks.scheduler_load import Arrival
from kvtransfer.connector.vllm.caches.stages import Stages
from kvtransfer.connector.vllm.keys.adapters import Adapters
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.connector.vllm.keys.naming import Naming
from kvtransfer.metrics import Metrics
from kvtransfer.requests.basis import Basis, Duties
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.weights import Holding
from kvtransfer.requests.scheduler import Scheduler
from kvtransfer.requests.timing import Timing
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.measure import Sample
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts

TARGET = 0.35
"""Bytes with windows, of those of all layers: stored, and fetched."""
PREFIX_TOKENS, QUESTION_TOKENS = 8192, 8
SLOTS = 8192
MODELS = {"window": windows(), "states": states()}


def main() -> None:
    options = _options()
    logging.getLogger("kvtransfer").setLevel(logging.ERROR)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text('{"model_type": "llama"}')
        for name, facts in MODELS.items():
            for impl, model in (("kvtransfer", facts), ("whole", whole(facts))):
                rows.append(bytes_row(name, impl, model, folder))
                rows += _call_rows(name, impl, model, folder, options.requests)
    rows.sort(key=lambda row: row.case)
    print_table(rows, baseline="whole")
    if options.json is not None:
        append_rows(options.json, rows)
    sys.exit(_is_too_much(rows))


def bytes_row(name: str, impl: str, facts: ModelFacts, folder: str) -> Row:
    """One prompt of which an engine stores, and another fetches, all but its question."""
    prefix = random.Random(0).choices(range(128_000), k=PREFIX_TOKENS)
    store = StoredPieces()
    first, second = (
        _run(facts, folder, store, [Arrival(f"r{i}", [*prefix, *[i] * QUESTION_TOKENS], 40)])
        for i in range(2)
    )
    stored, fetched = (n / 2**30 for n in (first.stored_bytes, second.fetched_bytes))
    more = {"fetched_gib": fetched, "loaded_tokens": float(second.loaded_tokens)}
    case = f"{name}/{PREFIX_TOKENS}/bytes"
    return Row(
        "groups", case, impl, stored, "GiB", (stored, stored), 1, first.stored_bytes, more=more
    )


def _call_rows(name: str, impl: str, facts: ModelFacts, folder: str, count: int) -> list[Row]:
    store = StoredPieces()
    _run(facts, folder, store, _arrivals(count)[::2])
    second = _run(facts, folder, store, _arrivals(count))
    return [
        _call_row(f"{name}/calls/{call}", impl, samples) for call, samples in second.calls.items()
    ]


def _call_row(case: str, impl: str, samples: Sequence[Sample]) -> Row:
    cpu_us = [1e6 * sample.cpu_s for sample in samples]
    more = {"mean_us": fmean(cpu_us), "p99_us": sorted(cpu_us)[int(0.99 * len(cpu_us))]}
    return Row(
        "groups", case, impl, median(cpu_us), "us", quantiles(cpu_us), len(cpu_us), more=more
    )


def _arrivals(count: int) -> list[Arrival]:
    """Prompts of 1000 to 16,000 tokens, each with an answer of 40."""
    chance = random.Random(1)
    return [
        Arrival(f"r{i}", chance.choices(range(128_000), k=chance.randint(1000, 16_000)), 40)
        for i in range(count)
    ]


def _run(facts: ModelFacts, folder: str, store: StoredPieces, arrivals: list[Arrival]) -> GroupLoop:
    """An engine, once all its requests have ended."""
    with _side(facts, folder, store) as side:
        engine = GroupLoop(side, facts, store)
        while arrivals or engine.is_busy:
            for _ in range(min(2, len(arrivals))):
                engine.arrive(arrivals.pop())
            engine.step()
    return engine


@contextmanager
def _side(facts: ModelFacts, folder: str, store: StoredPieces) -> Iterator[Scheduler]:
    metrics, weights = Metrics(), AgreedWeights(facts.ranks.workers)
    weights.take({0: Holding("weights", 0)})
    basis = Basis(
        Planner(Index(SLOTS), ranks=1, keep=True, put=True),
        store,
        Timing(1e9, metrics),  # every load pays
        facts.groups,
        Duties(loads=True, saves=True, saves_decode=True),
        metrics,
    )
    media = Media(trust_uuids=False, can_see=True)
    naming = Naming(key_builder_of(folder, Stages((facts,))), weights, Adapters(ranks=1), media)
    side = Scheduler(basis, naming, weights)
    try:
        yield side
    finally:
        side.close()


def _is_too_much(rows: Sequence[Row]) -> bool:
    """Say what share of all layers' bytes is moved with windows, and whether it exceeds the target."""
    ours, everything = (
        next(
            row
            for row in rows
            if row.case.startswith(f"window/{PREFIX_TOKENS}") and row.impl == impl
        )
        for impl in ("kvtransfer", "whole")
    )
    stored = ours.value / everything.value
    fetched = ours.more["fetched_gib"] / everything.more["fetched_gib"]
    print(f"{ours.case}: {stored:.3f} of all layers' bytes are stored, {fetched:.3f} are fetched;")
    print(f"at most {TARGET} is asked")
    return max(stored, fetched) > TARGET


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=200, help="prompts for the calls' times")
    parser.add_argument("--json", type=Path, help="append the rows here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
