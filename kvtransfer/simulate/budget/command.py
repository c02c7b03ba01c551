"""Runs ``kvtransfer simulate TRACE --budget EUR``: searches, and prints what each part of it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.budget.curve import step
from kvtransfer.simulate.budget.prices import read_prices
from kvtransfer.simulate.budget.replays import Replays
from kvtransfer.simulate.budget.report import NOTES, answer, rows_of
from kvtransfer.simulate.budget.search import LEVELS, Search, most_splits
from kvtransfer.simulate.budget.split import Shop
from kvtransfer.simulate.machine_options import only
from kvtransfer.simulate.printed import check_drawing, print_csv, print_json, print_table, progress
from kvtransfer.simulate.replay_command import assumptions_of, current

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import SimpleNamespace

    from kvtransfer.simulate.assumptions import Assumptions
    from kvtransfer.simulate.budget.curve import Step


def run(options: SimpleNamespace) -> None:
    """Print what the budget brings, and draw it if ``options`` name a file for it.

    Raises:
        ConfigError: prices are missing, or what is named can't be read.
        TraceError: the file is not a trace.
    """
    if options.prices is None:
        raise ConfigError("--budget needs --prices; examples/prices.yaml shows what it may hold")
    if options.plot:
        check_drawing()
    prices = read_prices(options.prices)
    assumed = assumptions_of(options)
    default = "learned" if len(assumed.machine.reaches) == 1 else "lru"  # as an engine's
    policy = only(current(options.policy or [default]), "--policy", "--budget")
    shop = Shop(prices, assumed.machine, options.instances, options.budget / LEVELS)
    steps = _steps(shop, assumed, policy, options.goal)
    _print(options, assumed, shop, steps, policy)
    if options.plot:
        from kvtransfer.simulate.budget.plot import draw

        draw(options.plot, steps, assumed, shop)


def _steps(shop: Shop, assumed: Assumptions, policy: str, goal: str) -> list[Step]:
    tiers, requests = len(shop.tiers), len(assumed.recorded.requests)
    with progress("replays", most_splits(tiers) * requests) as advance:
        replays = Replays(shop, assumed, policy, goal, advance)
        splits = Search(tiers, replays.worth, replays.most_worth).run()
    return [
        step(shop, units, split, replays.outcome(split) if any(split) else None, assumed)
        for units, split in enumerate(splits)
    ]


def _print(
    options: SimpleNamespace, assumed: Assumptions, shop: Shop, steps: Sequence[Step], policy: str
) -> None:
    rows = list(rows_of(steps, shop.prices))
    values = {"policy": policy, "goal": options.goal, **assumed.as_json(), **vars(shop.prices)}
    if options.json:
        print_json({"assumptions": values, "answer": answer(steps, shop), "steps": rows})
    elif options.csv:
        print_csv(values, rows)
    else:
        from kvtransfer.simulate.budget.table import table

        lines = [*assumed.lines(), f"prices: {shop.prices.line()}"]
        print_table(lines, table(steps, shop.prices), "\n".join([*answer(steps, shop), *NOTES]))
