"""Replays a trace: hits and time saved on recorded requests, by tier sizes and policies."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.policies import OLD_NAMES
from kvtransfer.simulate.assumptions import Assumptions
from kvtransfer.simulate.grid import grid, pieces_in, replayed
from kvtransfer.simulate.machine_options import machine_of, pieces_of
from kvtransfer.simulate.printed import check_drawing, print_csv, print_json, print_table, progress
from kvtransfer.simulate.recorded import read_recorded
from kvtransfer.simulate.replay import HOST, TIERS
from kvtransfer.simulate.report import row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import SimpleNamespace

    from kvtransfer.simulate.grid import Machine, Outcome
    from kvtransfer.simulate.recorded import Recorded
    from kvtransfer.simulate.replay import Sizes

POLICIES = ["learned", "lru", "arc"]
"""The policies that are compared, unless others are asked for."""


def run(options: SimpleNamespace) -> None:
    """Print the outcomes, and draw them if ``options`` name a file for it.

    Raises:
        ConfigError: a size is too small for a chunk, or a library is missing.
        TraceError: the file is not a trace.
    """
    if options.plot:
        check_drawing()
    policies = current(options.policy or POLICIES)
    assumed = assumptions_of(options)
    sizes = _sizes(options, assumed.recorded, assumed.machine)
    outcomes = _outcomes(assumed, sizes, policies)
    _print(options, assumed, outcomes)
    if options.plot:
        from kvtransfer.simulate.plot import draw

        draw(options.plot, outcomes, assumed)


def assumptions_of(options: SimpleNamespace) -> Assumptions:
    """Read the trace and what ``options`` say of model and machine.

    Raises:
        ConfigError: the options don't fit together.
        TraceError: the file is not a trace.
    """
    recorded = read_recorded(options.trace, options.chunk_tokens)
    pieces = pieces_of(options, recorded.chunk_tokens)
    machine = machine_of(options, recorded.chunk_tokens, pieces)
    return Assumptions(recorded, pieces, machine, options.instances, options.admit_chance)


def current(policies: Sequence[str]) -> list[str]:
    """The present names of ``policies``, with a line on stderr about each old one."""
    for name in OLD_NAMES.keys() & set(policies):
        print(f"kvtransfer: policy {name} is now called {OLD_NAMES[name]}", file=sys.stderr)
    return list(dict.fromkeys(OLD_NAMES.get(name, name) for name in policies))


def _print(options: SimpleNamespace, assumed: Assumptions, outcomes: Sequence[Outcome]) -> None:
    rows = [row(outcome, assumed.machine) for outcome in outcomes]
    if options.json:
        print_json({"assumptions": assumed.as_json(), "outcomes": rows})
    elif options.csv:
        print_csv(assumed.as_json(), rows)
    else:
        from kvtransfer.simulate.table import LEGEND, table

        print_table(assumed.lines(), table(outcomes, assumed.machine), LEGEND)


def _sizes(options: SimpleNamespace, recorded: Recorded, machine: Machine) -> list[Sizes]:
    """Every combination of the sizes in ``options``.

    Raises:
        ConfigError: a size above 0 is too small for a chunk.
    """
    pieces: dict[str, list[int]] = {}
    for tier in TIERS:
        pieces[tier] = []
        for text in getattr(options, tier):
            piece_bytes = machine.piece_bytes(tier)
            held = pieces_in(text, recorded.distinct * len(machine.reaches), piece_bytes)
            if held == 0 and (tier == HOST or float(text.rstrip("%"))):
                raise ConfigError(
                    f"--{tier} {text} is too small for one chunk of "
                    f"{piece_bytes * len(machine.reaches) / 2**20:.4g} MiB; the trace has "
                    f"{recorded.distinct} chunks"
                )
            pieces[tier].append(held)
    return grid(*pieces.values())


def _outcomes(
    assumed: Assumptions, sizes: Sequence[Sizes], policies: Sequence[str]
) -> list[Outcome]:
    requests, count = assumed.recorded.requests, len(sizes) * len(policies)
    with progress(f"{count} configurations", count * len(requests)) as advance:
        found = replayed(
            requests,
            sizes,
            policies,
            assumed.machine,
            advance,
            assumed.admit_chance,
            assumed.instances,
        )
        return list(found)
