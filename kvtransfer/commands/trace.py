"""``kvtransfer trace info``: what a recorded load is like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kvtransfer.commands.output import Output
from kvtransfer.operate.quantities import age_text
from kvtransfer.simulate.recorded import lasted_s
from kvtransfer.simulate.trace import read_trace

if TYPE_CHECKING:
    from kvtransfer.simulate.request import Request


@click.group()
def trace() -> None:
    """Look at a recorded load.

    The setting trace_file records one: a line for each request of an engine, with its tokens and
    hashes of its chunks, and no text.
    """


@trace.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def info(file: Path, *, as_json: bool) -> None:
    """Say how many requests FILE holds, and how much of them a cache without limits would serve."""
    facts = _facts(read_trace(file))
    shown = {
        "requests": _requests(facts),
        "prompt tokens": f"{facts['tokens']:,}, {facts['tokens'] / facts['requests']:,.0f} a request",
        "chunks": _chunks(facts),
        "asked for again": f"{facts['returned'] / max(facts['distinct'], 1):.1%} of the distinct ones",
        "served by a cache without limits": f"{facts['served'] / max(facts['chunks'], 1):.1%}",
    }
    Output(as_json=as_json).facts(facts, shown)


def _requests(facts: dict[str, Any]) -> str:
    seconds = facts["seconds"]
    return f"{facts['requests']:,}" + ("" if seconds is None else f" in {age_text(seconds)}")


def _chunks(facts: dict[str, Any]) -> str:
    size = facts["chunk_tokens"]
    each = "" if size is None else f" of {size} tokens"
    return f"{facts['chunks']:,}{each}, of which {facts['distinct']:,} are distinct"


def _facts(requests: list[Request]) -> dict[str, Any]:
    seen: set[str] = set()
    again: set[str] = set()
    chunks = served = 0
    for request in requests:
        known = [key for key in request.keys if key in seen]
        chunks += len(request.keys)
        served += len(known)
        again.update(known)
        seen.update(request.keys)
    return {
        "requests": len(requests),
        "seconds": lasted_s(requests),
        "chunk_tokens": requests[0].chunk_tokens,
        "tokens": sum(request.tokens for request in requests),
        "chunks": chunks,
        "distinct": len(seen),
        "returned": len(again),
        "served": served,
    }
