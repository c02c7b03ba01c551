"""Compares eviction policies on recorded and synthetic requests, and measures the index's cost.

``python -m benchmarks.bench_policy [--trace FILE] [--json FILE] [--scale X]``. ``conversation/5%``
is the share of chunks served by leading runs with host memory for 5 % of the trace's distinct chunks; ``made``
is the same for a load of chats and questions on documents, see :mod:`benchmarks.workloads`;
``change/swap/5%`` for a load that changes, see :mod:`benchmarks.changing_loads`, with the worst ratio
to LRU over 250 requests; ``change/held-out swap/5%`` has lengths that the policy was not tuned on;
``remote/host 20%`` is what an admission filter in front of the store saves and costs.
``groups/window/128 GiB`` is the share with host memory of that size for a model with several cache
groups, under its default policy and under ``learned``.
``codec/int8/512 GiB`` is the share with host memory of that size that holds encoded chunks, and ``naive`` with
chunks as they are; 128 KiB a token, as of Llama-3.1-8B in bfloat16.
FILE is Mooncake's ``FAST25-release/traces/conversation_trace.jsonl``; X is a factor on the number of
requests, and of chunks in an index.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.changing_loads import CHANGES, Shape, changing_load
from benchmarks.measure import ROOT, Row, append_rows, print_table, quantiles, seconds_row
from benchmarks.s3fifo import S3FIFO
from benchmarks.workloads import chats_and_documents
from kvtransfer.chunks.encoded_size import ratio
from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.tiling import Placement, Tiling
from kvtransfer.config import TransferConfig
from kvtransfer.policies import POLICIES
from kvtransfer.requests.eviction_choice import eviction_policy
from kvtransfer.scheduling.index import Index
from kvtransfer.scheduling.planner import Planner
from kvtransfer.simulate.arguments import reaches
from kvtransfer.simulate.grid import Machine, pieces_in, replayed
from kvtransfer.simulate.optimum import optimal_hits
from kvtransfer.simulate.replay import HOST, TIERS, Hierarchy, Sizes
from kvtransfer.simulate.trace import TraceError, read_trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kvtransfer.simulate.request import Request

TRACE = ROOT.parent / "shared" / "traces" / "mooncake_conversation.jsonl"
PERCENTS = (1, 2, 5, 10, 20)
IMPLS = {"kvtransfer": "learned", "lru": "lru", "arc": "arc", "s3fifo": "s3fifo"}
CHANGE_PERCENTS = (5, 20)
SEED = 1
HELD_OUT_SEED = 101
HELD_OUT = Shape(1300, 12.0, 3.0, 0.5, 40.0, 0.75, 200, 0.9)
WINDOW, WINDOW_STEP = 250, 50
LEAST_SHARE = 0.02  # of the chunks of a window: where LRU serves less, a ratio says nothing
ADMIT_CHANCE = 0.05
CHUNKS = 512  # of a request of 128k tokens
CHUNK_TOKENS, TOKEN_BYTES = 512, 131_072  # the trace's, and Llama-3.1-8B's
MILLION = 1_000_000
MADE_REQUESTS = 8000

GROUPS = {"window": "full,window:1024*5", "states": "full,state*3"}
GROUP_GIB = (64, 128, 256)
CODECS = ("int8", "int5", "int4")
CODEC_GIB = (256, 512, 1024)
GROUP_SHARE = 0.25
"""Of the trace's requests, so that the bench stays short."""

# A chunk is one piece; sizes are in chunks, so its tokens don't matter.
ONE_GROUP = Groups((Tiling(1, 1),))


def rate_rows(
    name: str, requests: Sequence[Sequence[str]], percents: Sequence[int] = PERCENTS
) -> Iterator[Row]:
    """The hit rate of every policy at every size."""
    distinct = len({key for keys in requests for key in keys})
    asked = sum(map(len, requests))
    for percent in percents:
        case, slots = f"{name}/{percent}%", max(1, distinct * percent // 100)
        hits = {impl: hits_of(requests, policy, slots) for impl, policy in IMPLS.items()}
        for impl, counts in hits.items():
            rate = sum(counts) / asked
            worst = {"worst_x_lru": worst_ratio(requests, counts, hits["lru"])}
            yield Row(
                "policy", case, impl, rate, "hit rate", (rate, rate), len(requests), more=worst
            )
        rate = optimal_hits(requests, slots) / asked
        yield Row("policy", case, "optimum", rate, "hit rate", (rate, rate), len(requests))


def hits_of(requests: Sequence[Sequence[str]], policy: str, slots: int) -> list[int]:
    """The chunks of each request that host memory alone serves."""
    hierarchy = Hierarchy(Sizes(slots), policy, ONE_GROUP)
    return [hierarchy.serve(keys).hits.total() for keys in requests]


def worst_ratio(
    requests: Sequence[Sequence[str]], hits: Sequence[int], lru_hits: Sequence[int]
) -> float:
    """The lowest ratio of ``hits`` to those of LRU over all windows in which LRU serves enough."""
    ratios = [1.0]
    for begin in range(0, len(requests) - WINDOW + 1, WINDOW_STEP):
        window = slice(begin, begin + WINDOW)
        most = sum(lru_hits[window])
        if most >= LEAST_SHARE * sum(map(len, requests[window])):
            ratios.append(sum(hits[window]) / most)
    return min(ratios)


def change_rows(scale: float) -> Iterator[Row]:
    """Hit rates on loads that change, with the lengths used in tuning and with others."""
    for name in CHANGES:
        tuned = changing_load(name, SEED, _shorter(Shape(), scale))
        held_out = changing_load(name, HELD_OUT_SEED, _shorter(HELD_OUT, scale))
        yield from rate_rows(f"change/{name}", tuned, CHANGE_PERCENTS)
        yield from rate_rows(f"change/held-out {name}", held_out, CHANGE_PERCENTS)


def _shorter(shape: Shape, scale: float) -> Shape:
    return replace(shape, phase_requests=_scaled(shape.phase_requests, scale))


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def group_rows(requests: Sequence[Request]) -> Iterator[Row]:
    """The hit rate of models with several cache groups, under the default and under ``learned``."""
    for name, text in GROUPS.items():
        machine = Machine(CHUNK_TOKENS, TOKEN_BYTES, 1.0, dict.fromkeys(TIERS, 1.0), reaches(text))
        for gib in GROUP_GIB:
            sizes = [Sizes(pieces_in(str(gib), 1, machine.piece_bytes(HOST)))]
            default = eviction_policy(TransferConfig.of(), machine.groups)
            for impl, policy in (("kvtransfer", default), ("learned", "learned")):
                (outcome,) = replayed(requests, sizes, [policy], machine)
                rate, case = outcome.hit_rate, f"groups/{name}/{gib} GiB"
                yield Row("policy", case, impl, rate, "hit rate", (rate, rate), len(requests))


def codec_rows(requests: Sequence[Request]) -> Iterator[Row]:
    """The hit rate with chunks as they are and encoded, in host memory of the same size."""
    for gib in CODEC_GIB:
        naive = codec_row(requests, gib, "naive")
        for codec in CODECS:
            case = f"codec/{codec}/{gib} GiB"
            yield replace(naive, case=case, impl="naive")
            yield replace(codec_row(requests, gib, codec), case=case)


def codec_row(requests: Sequence[Request], gib: int, codec: str) -> Row:
    """The hit rate in host memory of ``gib``, and how many tokens it has room for."""
    ratios = {HOST: ratio(codec, "bfloat16")}
    machine = Machine(CHUNK_TOKENS, TOKEN_BYTES, 1.0, dict.fromkeys(TIERS, 1.0), ratios=ratios)
    slots = pieces_in(str(gib), 1, machine.piece_bytes(HOST))
    (outcome,) = replayed(requests, [Sizes(slots)], ["learned"], machine)
    rate, more = outcome.hit_rate, {"tokens": float(slots * CHUNK_TOKENS)}
    return Row("policy", "", "kvtransfer", rate, "hit rate", (rate, rate), len(requests), more=more)


def admission_rows(requests: Sequence[Sequence[str]]) -> Iterator[Row]:
    """A store with room for all: the share of distinct chunks written to it, and the hit rate."""
    distinct = len({key for keys in requests for key in keys})
    asked = sum(map(len, requests))
    for percent in (5, 10, 20, 30):
        for impl, chance in (("kvtransfer", None), ("admission", ADMIT_CHANCE)):
            sizes = Sizes(host=distinct * percent // 100, remote=distinct)
            tiers = Hierarchy(sizes, "learned", ONE_GROUP, chance)
            rate = sum(tiers.serve(keys).hits.total() for keys in requests) / asked
            share = tiers.written["remote"] / distinct
            case = f"remote/host {percent}%"
            yield Row("policy", f"{case}/hits", impl, rate, "hit rate", (rate, rate), len(requests))
            yield Row("policy", f"{case}/written", impl, share, "share", (share, share), 1)


def speed_rows(rounds: int = 200) -> Iterator[Row]:
    """A request whose chunks are all held: CPU seconds to note, look up, pin and plan it."""
    for impl, policy in (("kvtransfer", "learned"), ("lru", "lru"), ("arc", "arc")):
        planner = Planner(Index(40 * CHUNKS, policy), ranks=1, keep=True, put=False)
        texts = [[f"{text:016x}{i:016x}" for i in range(CHUNKS)] for text in range(32)]
        for keys in texts:
            planned(planner, keys)
        seconds = [planned(planner, texts[i % len(texts)]) for i in range(rounds)]
        yield seconds_row("policy", f"plan/{CHUNKS} chunks", impl, seconds)


def planned(planner: Planner, keys: Sequence[str]) -> float:
    """CPU seconds until the request's loads are planned."""
    targets = [Placement(key) for key in keys]
    begun_s = time.thread_time()
    planner.index.note_request(keys)
    held = planner.held(keys)
    planner.loadable(keys, frozenset(keys[held:]))
    loads = planner.load(targets)
    taken_s = time.thread_time() - begun_s
    for load in loads:
        planner.index.unpin(load.slot)
    return taken_s


def memory_rows(chunks: int) -> Iterator[Row]:
    """A full index of ``chunks`` chunks in requests of 24, the keys' own text included."""
    for impl, policy in (("kvtransfer", "learned"), ("lru", "lru"), ("arc", "arc")):
        tracemalloc.start()
        index = Index(chunks, policy)
        fill(index)
        nbytes = tracemalloc.get_traced_memory()[0] / chunks
        tracemalloc.stop()
        case = f"memory/{chunks / MILLION:g}M chunks"
        yield Row("policy", case, impl, nbytes, "B/chunk", (nbytes, nbytes), 1)


def fill(index: Index) -> None:
    """Fill the index by requests."""
    for request in range(index.slots // 24 + 1):
        keys = [f"{request:016x}{i:016x}" for i in range(24)]
        index.note_request(keys)
        slots = [index.claim(key) for key in keys if index.room]
        for slot in slots:
            if slot is not None:
                index.unpin(slot)


def fill_rate_row(slots: int, rounds: int = 5) -> Row:
    """CPU time to replace one chunk in a full index of ``slots``, which is filled first."""
    rates = []
    for round_ in range(rounds):
        index = Index(slots, "learned")
        requests = [[f"{round_}.{n}.{i}" for i in range(24)] for n in range(3 * slots // 20)]
        begun_s = time.thread_time()
        for keys in requests:
            index.note_request(keys)
            for slot in [index.claim(key) for key in keys]:
                if slot is not None:
                    index.unpin(slot)
        rates.append((time.thread_time() - begun_s) / (24 * len(requests)) * 1e6)
    value = sorted(rates)[len(rates) // 2]
    return Row("policy", "replace/chunk", "kvtransfer", value, "us", quantiles(rates), rounds)


def main() -> int:
    options = _options()
    POLICIES.setdefault("s3fifo", S3FIFO)
    try:
        trace = read_trace(options.trace)
    except TraceError as error:
        print(f"bench_policy: {error}; --trace names it", file=sys.stderr)
        return 2
    rows = _rows(trace[: _scaled(len(trace), options.scale)], options.scale)
    print_table(rows, baseline="kvtransfer")
    if options.json:
        append_rows(options.json, rows)
    return 0


def _rows(trace: Sequence[Request], scale: float) -> list[Row]:
    conversation = [request.keys for request in trace]
    made = chats_and_documents(_scaled(MADE_REQUESTS, scale))
    return [
        *speed_rows(),
        fill_rate_row(_scaled(20_000, scale)),
        *memory_rows(_scaled(MILLION, scale)),
        *rate_rows("conversation", conversation),
        *rate_rows("made", [[str(id_) for id_ in ids] for ids in made]),
        *change_rows(scale),
        *group_rows(trace[: _scaled(len(trace), GROUP_SHARE)]),
        *codec_rows(trace),
        *sorted(admission_rows(conversation), key=lambda row: row.case),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", type=Path, default=TRACE, help="Mooncake's conversation trace")
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="factor on requests and chunks (default: 1)"
    )
    options = parser.parse_args()
    if not 0 < options.scale <= 1:
        parser.error(f"--scale {options.scale}: more than 0, at most 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
