"""Answers what ``kvtransfer simulate`` is asked: a replay, the best sizes for a budget, or when a load pays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.simulate import replay_command
from kvtransfer.simulate.break_even import command as break_even
from kvtransfer.simulate.budget import command as budget

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from types import SimpleNamespace

_SIZES = ("host", "disk", "remote")
_OF_A_BUDGET = ("budget", "prices", "goal")
_OF_A_TRACE = ("trace", "policy", "instances", "admit_chance", "groups", "plot", "csv")
_OF_A_BREAK_EVEN = ("break_even", "round_trip_ms", "load_margin")


def simulate(options: SimpleNamespace, given: AbstractSet[str]) -> None:
    """Print what ``options`` ask for, of which ``given`` are named and the others have defaults.

    Raises:
        ConfigError: they don't go together, or what they name can't be read.
        TraceError: the file is not a trace.
    """
    _refuse_two(given, ("model",), ("token_bytes", "groups"))
    _refuse_two(given, ("json",), ("csv",))
    if options.break_even:
        _refuse_two(given, ("break_even",), (*_OF_A_TRACE, *_SIZES, *_OF_A_BUDGET))
        break_even.run(options)
    elif options.trace is None:
        raise ConfigError("name a TRACE to replay, or --break-even --model config.json")
    elif options.budget is not None:
        _refuse_two(given, ("budget",), (*_OF_A_BREAK_EVEN, *_SIZES))
        budget.run(options)
    else:
        _refuse_two(given, ("trace",), _OF_A_BREAK_EVEN)
        _need_budget(given)
        replay_command.run(options)


def _refuse_two(given: AbstractSet[str], these: tuple[str, ...], those: tuple[str, ...]) -> None:
    for name in these:
        other = next((other for other in those if other in given), None)
        if name in given and other is not None:
            raise ConfigError(
                f"{_said(other)} doesn't go with {_said(name)}; leave out one of them"
            )


def _need_budget(given: AbstractSet[str]) -> None:
    for name in ("prices", "goal"):
        if name in given:
            raise ConfigError(f"{_said(name)} needs --budget; name the euros a month")


def _said(name: str) -> str:
    return "TRACE" if name == "trace" else f"--{name.replace('_', '-')}"
