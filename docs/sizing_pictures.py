"""Draws the pictures of docs/sizing.md: ``python -m docs.sizing_pictures TRACE``.

TRACE is Mooncake's conversation trace, ``conversation_trace.jsonl`` of its FAST'25 release. Beside each
picture its figures are written as JSON. Replays take minutes.
"""

from __future__ import annotations

import sys
from contextlib import chdir, redirect_stdout
from pathlib import Path

from kvtransfer.cli import main as kvtransfer

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
_MODEL = "--model examples/models/llama-3.1-8b.json --prefill-tokens-per-s 13500"
COMMANDS = {
    "simulate-sizes": "--host 64,256,1024 --disk 0,500,1000,2000 --policy learned,lru",
    "simulate-budget": "--budget 800 --prices examples/prices.yaml",
}
"""The options of each picture."""


def main() -> int:
    """Draw all pictures of the trace that is named; return the exit status."""
    if len(sys.argv) != 2:
        print("name the trace: python -m docs.sizing_pictures TRACE", file=sys.stderr)
        return 2
    trace = Path(sys.argv[1]).resolve()
    with chdir(ROOT):
        return max(_drawn(trace, name, options) for name, options in COMMANDS.items())


def _drawn(trace: Path, name: str, options: str) -> int:
    picture = PICTURES / f"{name}.png"
    words = [
        "simulate",
        str(trace),
        *options.split(),
        *_MODEL.split(),
        "--json",
        "--plot",
        str(picture),
    ]
    with picture.with_suffix(".json").open("w", encoding="utf-8") as file, redirect_stdout(file):
        return kvtransfer(words)


if __name__ == "__main__":
    sys.exit(main())
