"""Measures how long fingerprinting a model's weights delays the start of vLLM.

``python -m benchmarks.bench_weights [--json FILE]`` measures:

- ``read/GiB``: tensors as large as those of a model with a hidden size of 4096, ``--gib`` of them
  in all, 0.7 GiB at a time. ``kvtransfer`` makes the fingerprint that is a part of every key; ``xxh3``
  hashes the same bytes and does nothing else, the least possible.
- ``ready/smollm2``: from the start of a process to vLLM's first answer, SmolLM2-135M in fp32 on the
  CPU, with kvtransfer, without it (``plain``), and with that of another commit (``before``), whose
  checkout ``--before FOLDER`` names.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
import xxhash
from torch import nn

from benchmarks.measure import (
    Sample,
    append_rows,
    interleaved,
    print_table,
    rate_row,
    seconds_row,
)
from demo.engine import Setup, kvtransfer_config
from demo.process import EngineError, EngineProcess
from demo.smollm2 import model_folder
from kvtransfer.connector.vllm.weights.of_model import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure import Row

HIDDEN, INNER = 4096, 14336
_PART_LAYERS = 3
"""Of two linear layers each: 0.7 GiB in bf16, which stay in no processor's cache."""


def main() -> None:
    options = _options()
    try:
        rows = [*_read(options.gib, options.rounds), *_ready(options.before, options.rounds)]
    except EngineError as error:
        sys.exit(f"bench_weights: {error}")
    print_table(rows, baseline="xxh3")
    if options.json:
        append_rows(options.json, rows)


def _read(gib: int, rounds: int) -> list[Row]:
    model = nn.ModuleList(
        nn.Linear(*shape, bias=False, dtype=torch.bfloat16)
        for shape in [(HIDDEN, INNER), (INNER, HIDDEN)] * _PART_LAYERS
    )
    raw = [weight.data.view(torch.uint8).numpy().reshape(-1).data for weight in model.parameters()]
    times = max(1, round(gib * 2**30 / sum(map(len, raw))))
    nbytes = times * sum(map(len, raw))
    works: dict[str, Callable[[], object]] = {
        "kvtransfer": lambda: fingerprint(model),
        "xxh3": lambda: [xxhash.xxh3_128_digest(part) for part in raw],
    }
    repeated = {name: _repeated(work, times) for name, work in works.items()}
    samples = interleaved(repeated, rounds)
    return [rate_row("weights", f"read/{gib}GiB", name, samples[name], nbytes) for name in works]


def _repeated(work: Callable[[], object], times: int) -> Callable[[], object]:
    return lambda: [work() for _ in range(times)]


def _ready(before: Path | None, rounds: int) -> list[Row]:
    with TemporaryDirectory() as folder:
        log = Path(folder, "engine.log")
        works: dict[str, Callable[[], object]] = {
            "kvtransfer": lambda: _ready_s(log, kvtransfer_config(), {}),
            "plain": lambda: _ready_s(log, None, {}),
        }
        if before is not None:
            path = {"PYTHONPATH": str(before.resolve())}
            works["before"] = lambda: _ready_s(log, kvtransfer_config(), path)
        samples = interleaved(works, rounds, lambda work: Sample(float(work()), 0.0))
    return [
        seconds_row("weights", "ready/smollm2", name, [sample.wall_s for sample in samples[name]])
        for name in works
    ]


def _ready_s(log: Path, transfer: dict | None, environment: dict[str, str]) -> float:
    began_s = time.perf_counter()
    with EngineProcess(Setup(str(model_folder()), transfer), log, environment) as engine:
        engine.wait_until_up()
        return time.perf_counter() - began_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a measurement to this file")
    parser.add_argument("--gib", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="folder of a checkout to measure beside this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
