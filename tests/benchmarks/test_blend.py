"""What the benchmarks of blending ask, and what rows they make of answers."""

from __future__ import annotations

from argparse import Namespace
from collections import defaultdict
from dataclasses import replace

import pytest

from benchmarks.bench_blend import measured_rows, rows_by_policy
from benchmarks.blend_prompts import SHAPES, Pairs
from benchmarks.ttft_engines import CHUNK_TOKENS
from demo.engine import Answer
from demo.smollm2 import model_folder
from demo.texts import Text, real_text

CONTEXT = 2 * CHUNK_TOKENS
COLD = Answer([7], 2.0, 530, restored_tokens=0, local_tokens=0, fetched_bytes=0, cpu_s=1.5)
BLENDED = replace(
    COLD,
    ttft_s=0.5,
    cpu_s=0.25,
    restored_tokens=530,
    blend={"exact_tokens": 30, "reused_tokens": 400},
)


@pytest.fixture(scope="module")
def pairs():
    return Pairs(model_folder(), real_text())


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_what_was_seen_and_what_is_asked_are_whole_chunks_and_an_end(pairs, shape):
    pair = pairs.pair(shape, CONTEXT)
    lengths = {len(pair.seen_ids), len(pair.asked_ids)}
    assert len(lengths) == 1
    assert CONTEXT < lengths.pop() < CONTEXT + 40
    assert pair.seen_ids != pair.asked_ids
    assert pairs.pair(shape, CONTEXT).asked_ids[60:90] != pair.asked_ids[60:90]


def test_the_last_passage_seen_is_asked_about_first(pairs):
    pair = pairs.pair("reordered", CONTEXT)
    head = len(pairs.system_ids)
    each = (CONTEXT - head) // 3
    assert pair.asked_ids[:head] == pair.seen_ids[:head] == pairs.system_ids
    last = pair.seen_ids[CONTEXT - each : CONTEXT]
    assert pair.asked_ids[head : head + each] == last


def test_a_text_that_is_too_short_is_told():
    few = Pairs(model_folder(), Text("A leaflet", "Some words. " * 20))
    with pytest.raises(ValueError, match="A leaflet is too short; ask for fewer rounds or tokens"):
        few.pair("reordered", CONTEXT)


def test_rows_are_of_wall_and_of_cpu_seconds_beside_their_baselines():
    found = defaultdict(list)
    found["reordered", 512, "cold"] = [COLD] * 3
    found["reordered", 512, "host/first16"] = [BLENDED] * 3
    rows = list(measured_rows(found, 512, Namespace(shapes=["reordered"], tiers=["host"])))
    ours = {row.case: row for row in rows if row.impl == "kvtransfer"}
    wall, cpu = ours["reordered/512/host/first16"], ours["reordered/512/host/first16/cpu"]
    assert (wall.value, wall.more) == (0.5, {"less_x": 4.0, "computed_tokens": 100})
    assert (cpu.value, cpu.more["less_x"]) == (0.25, 6.0)
    table = {(row.case, row.impl) for row in rows_by_policy(rows)}
    assert ("reordered/512/host", "first16") in table
    assert ("reordered/512/host/cpu", "cold") in table
