"""Every benchmark starts, each in a process of its own and with its smallest sizes.

One that would start engines goes as far as the first of them: ``vllm`` is a stand-in that ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from benchmarks.measure import ROOT

FOUND = {path.stem: path for path in sorted(ROOT.glob("benchmarks/bench_*.py"))}
SMALLEST = {
    "bench_blend": "--tokens 512 --rounds 1",
    "bench_blend_quality": "--n 1 --sets cont-4x160",
    "bench_codec": "--codecs int8 --contexts 256 --n 1 --rounds 1",
    "bench_decode": "--context 256 --contexts 1 --rounds 1",
    "bench_disk": "--mib 1 --round-mib 2 --files 20 --rounds 1",
    "bench_dma": "--layers 1 --rounds 1",
    "bench_groups": "--requests 4",
    "bench_lossless": "--tokens 256 --rounds 1 --dtypes bfloat16",
    "bench_never_slower": "--context 256 --prompts 1 --lines 1MBps",
    "bench_operate": "--entries 100 --topologies server",
    "bench_paged_copy": "--layers 1 --rounds 1",
    "bench_pipeline": "--tokens 256 --rounds 1",
    "bench_policy": "--trace {trace} --scale 0.01",
    "bench_quantised": "--layers 1 --rounds 1",
    "bench_redis": "--servers valkey redis7-tls --mib 1 --rounds 1",
    "bench_remote_quotas": "--mib 8 --rounds 1",
    "bench_rotation": "--layers 1 --rounds 1",
    "bench_scheduler": "--requests 4 --long 0",
    "bench_serving": "--scale 0.01 --only vllm kvtransfer",
    "bench_shares": "--slots 100 --requests 10",
    "bench_stores": "--mib 1 --round-mib 2 --rounds 1",
    "bench_wire": "--mib 1 --round-mib 4 --nodes 1 2 --connections 1 3 --rounds 1",
    "bench_ttft": "--contexts 256 --blocks 128 --repeats 1",
    "bench_weights": "--gib 1 --rounds 1",
}
"""Options by benchmark; one that is missing here runs as it comes."""
WITH_ENGINES = {
    "bench_blend",
    "bench_blend_quality",
    "bench_decode",
    "bench_never_slower",
    "bench_serving",
    "bench_ttft",
    "bench_weights",
}
ON_A_DEVICE = [name for name, path in FOUND.items() if '"--device"' in path.read_text()]
NO_DIRECT_IO = "takes no direct I/O, the baseline"
NO_ENGINE = "this vLLM ends as it is imported"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a run needs: a recorded trace, and a vLLM that is none."""
    made = tmp_path_factory.mktemp("runs")
    lines = [
        json.dumps({"input_length": 2048, "hash_ids": [i % 7, 10 + i % 5, 100 + i, 1000 + i]})
        for i in range(300)
    ]
    (made / "trace.jsonl").write_text("\n".join(lines))
    (made / "vllm").mkdir()
    (made / "vllm" / "__init__.py").write_text(f"raise SystemExit({NO_ENGINE!r})")
    return made


def run(name, *options, path=()):
    """Run the benchmark ``name`` to its end, with the folders of ``path`` before all packages."""
    before = [*path, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, before))},
        capture_output=True,
        text=True,
        check=False,
    )


def smallest(name, folder):
    return SMALLEST.get(name, "").format(trace=folder / "trace.jsonl").split()


def test_those_that_are_named_here_exist():
    assert FOUND.keys() >= SMALLEST.keys() >= WITH_ENGINES
    assert ON_A_DEVICE


@pytest.mark.parametrize("name", sorted(FOUND.keys() - WITH_ENGINES))
def test_it_measures_prints_and_appends_rows(name, folder, tmp_path):
    file = tmp_path / "rows.jsonl"
    ended = run(name, "--json", file, *smallest(name, folder))
    if name == "bench_disk" and NO_DIRECT_IO in ended.stderr:
        return  # folders of tests are in memory here, and that is refused
    too_slow = name == "bench_scheduler" and "\nover " in ended.stdout  # not judged here
    assert ended.returncode == too_slow, ended.stderr
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {f"bench_{row['bench']}" for row in rows} == {name}
    assert all(row["n"] >= 1 and row["value"] >= 0 for row in rows)
    assert {row["case"] for row in rows} <= set(ended.stdout.splitlines())


@pytest.mark.parametrize("name", sorted(WITH_ENGINES))
def test_it_comes_as_far_as_its_engines_and_says_that_they_ended(name, folder, tmp_path):
    file = tmp_path / "rows.jsonl"
    ended = run(name, "--json", file, *smallest(name, folder), path=[folder])
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith(f"{name}: "), ended.stderr
    assert ended.stderr.splitlines()[-1] == NO_ENGINE
    assert not file.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a GPU")
@pytest.mark.parametrize("name", ON_A_DEVICE)
def test_a_device_that_is_not_here_is_refused(name):
    ended = run(name, "--device", "cuda")
    assert ended.returncode == 2
    said = ended.stderr.splitlines()[-1]
    assert said.endswith("cuda needs a CUDA device and a torch built for it; here is none")
