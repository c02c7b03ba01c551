"""What routers credit for what we publish: ``python -m benchmarks.router_credits --json FILE``.

The real vllm-router and Dynamo's selection service are told by two workers what becomes of a context,
and are asked for it. A row has the credited tokens; beside them stand those that routers were told of.
A credit that isn't what it should be, or a request at the wrong worker, ends the command with 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Row, append_rows
from benchmarks.router_credits.cases import CASES
from benchmarks.router_credits.dynamo_selection import DynamoSelection
from benchmarks.router_credits.trial import outcomes
from benchmarks.router_credits.vllm_router import VllmRouter

ROUTERS = (VllmRouter, DynamoSelection)


def row(kind, outcome):
    """The line of one outcome."""
    credit = outcome.credited_tokens
    told = {f"{tier}_tokens": float(count) for tier, count in outcome.told.items()}
    note = "two requests, one at each worker" if outcome.went == "both" else ""
    return Row(
        "router_credits", outcome.case.name, kind.name, credit, "tokens", (credit, credit), 1,
        more=told, note=note,
    )  # fmt: skip


def line(kind, outcome):
    """What a reader sees of it."""
    case = outcome.case
    told = ", ".join(f"{tier} {count}" for tier, count in outcome.told.items())
    said = f"{kind.name}: {case.name}: told {told}; credited {outcome.credited_tokens}"
    if outcome.is_right(kind.dialect):
        return said
    return f"{said} at {outcome.went}, NOT {case.credit(kind.dialect)} at {case.goes_to}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="append one line a router and case to this file")
    options = parser.parse_args()
    wrong = False
    for kind in ROUTERS:
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for outcome in outcomes(kind, CASES, Path(folder)):
                wrong |= not outcome.is_right(kind.dialect)
                rows.append(row(kind, outcome))
                print(line(kind, outcome))
        if options.json:
            append_rows(options.json, rows)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
