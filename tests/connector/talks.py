"""Talk after talk over every tier: each turn right, each tier in use, no memory lost.

``python -m tests.connector.talks [--rounds N] [--talks N] [--turns N] [--seed N] [--json FILE]``:
each round is other talks with the same engine, and a line, appended to the file. Ends with 1 if a
turn was wrong, a tier served nothing, or what the engine holds has grown.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measure import commit, machine
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.conversation import CHUNK_BYTES, hold, requests, small_host
from tests.connector.engine_process import Setup
from tests.connector.engines import Engine, Engines
from tests.connector.tiny_model import write_model
from tests.faults.soak import append

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST_CHUNKS, DISK_CHUNKS = 50, 150
"""Twenty talks of five turns have 220."""
SERVED = ("host_hit_tokens", "disk_fetched_tokens", "remote_fetched_tokens")
LOST = ("load_failed_chunks", "put_failed_chunks", "put_dropped_chunks", "save_skipped_chunks")
MOST_GROWTH_BYTES = 16 << 20
"""From the end of the second round to the end of the last, whatever their number."""


def main() -> None:
    options = _options()
    lines = []
    for line in talk(options.rounds, options.talks, options.turns, options.seed):
        append(options.json, line)
        print(json.dumps(line), flush=True)
        lines.append(line)
    found = summary(lines)
    append(options.json, found)
    print(json.dumps(found, indent=2))
    sys.exit(
        bool(found["wrong"] or found["idle_tiers"] or found["grown_bytes"] > MOST_GROWTH_BYTES)
    )


def talk(rounds: int, talks: int, turns: int, seed: int) -> Iterator[dict[str, object]]:
    """A line for each of ``rounds`` rounds of ``talks`` talks."""
    with ExitStack() as open_:
        folder = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="kvtransfer-talks-")))
        engines = open_.enter_context(closing(Engines(folder)))
        server = open_.enter_context(EmbeddedServer(64 << 20))
        model, chunks = str(write_model(folder / "tiny")), folder / "chunks"
        uncached = Setup(model, options={"enable_prefix_caching": False})
        plain = open_.enter_context(engines.start(uncached))
        setup = small_host(model, HOST_CHUNKS, chunks, DISK_CHUNKS, server.url)
        engine = open_.enter_context(engines.start(setup))
        for number in range(rounds):
            held = hold(engine, requests(plain, talks, turns, seed=1000 * seed + number))
            yield {
                "round": number,
                "turns": talks * turns,
                "wrong": held.wrong,
                "prompt_tokens": held.prompt_tokens,
                "external_tokens": held.external_tokens,
                "total": {name: engine.counted()[name] for name in (*SERVED, *LOST)},
                **holdings(engine, chunks),
            }


def holdings(engine: Engine, chunks: Path) -> dict[str, int]:
    """What the engine's process holds, and what lies in its folder."""
    status = Path(f"/proc/{engine.pid}/status").read_text(encoding="utf-8").splitlines()
    kib = next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))
    return {
        "memory_bytes": kib << 10,
        "open_files": len(os.listdir(f"/proc/{engine.pid}/fd")),
        "disk_bytes": sum(path.stat().st_size for path in chunks.rglob("*.kv")),
    }


def summary(lines: list[dict[str, object]]) -> dict[str, object]:
    """Of a run of at least two rounds."""
    settled, last = lines[1], lines[-1]
    return {
        "summary": len(lines),
        "turns": sum(line["turns"] for line in lines),
        "wrong": sum(len(line["wrong"]) for line in lines),
        "prompt_tokens": sum(line["prompt_tokens"] for line in lines),
        "external_tokens": sum(line["external_tokens"] for line in lines),
        "total": last["total"],
        "idle_tiers": [name for name in SERVED if not last["total"][name]],
        "grown_bytes": last["memory_bytes"] - settled["memory_bytes"],
        "more_open_files": last["open_files"] - settled["open_files"],
        "disk_limit_bytes": DISK_CHUNKS * (CHUNK_BYTES + 4096),
        "most_disk_bytes": max(line["disk_bytes"] for line in lines),
        "commit": commit(),
        "machine": machine(),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="two at least")
    parser.add_argument("--talks", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path(os.devnull), help="where the lines go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
