"""``kvtransfer top``: what the instances of a fleet restore and save, live."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.cells import cell_len
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kvtransfer.commands.columns import Column, that_fit
from kvtransfer.commands.output import Output, console_for
from kvtransfer.errors import ConfigError
from kvtransfer.operate.instance import Instance, NoAnswerError
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.traffic import Traffic, between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Look = tuple[float, Mapping[str, float] | str]

_FIRST = "instance"


def _count(amount: float) -> Text:
    return Text(f"{amount:,.0f}")


def _bytes(nbytes: float) -> Text:
    return Text(bytes_text(nbytes) if nbytes else "0")


def _share(share: float | None) -> Text:
    return Text("-" if share is None else f"{share:.0%}")


def _seconds(seconds: float | None) -> Text:
    return Text("-" if seconds is None else f"≤{seconds:g} s")


def _lost(chunks_per_s: float) -> Text:
    return Text(f"{chunks_per_s:.1f}", "red") if chunks_per_s else Text("0")


def _breakers(are_open: int) -> Text:
    return Text(f"{are_open} open", "red") if are_open else Text("closed", "green")


_COLUMNS: tuple[Column[Traffic], ...] = (
    Column("prompt\ntok/s", 7, 0, lambda of: _count(of.prompt_tokens_per_s)),
    Column("local", 5, 5, lambda of: _share(of.local_share)),
    Column("restored", 8, 0, lambda of: _share(of.restored_share)),
    Column("host\ntok/s", 6, 3, lambda of: _count(of.host_tokens_per_s)),
    Column("store\ntok/s", 6, 2, lambda of: _count(of.store_tokens_per_s)),
    Column("fetched\nper s", 8, 6, lambda of: _bytes(of.fetched_bytes_per_s)),
    Column("put\nper s", 8, 7, lambda of: _bytes(of.put_bytes_per_s)),
    Column("load\np50", 8, 4, lambda of: _seconds(of.load_p50_s)),
    Column("TTFT\np50", 8, 1, lambda of: _seconds(of.ttft_p50_s)),
    Column("evicted\nper s", 7, 8, lambda of: Text(f"{of.evicted_chunks_per_s:.1f}")),
    Column("lost\nper s", 5, 0, lambda of: _lost(of.lost_chunks_per_s)),
    Column("breakers", 8, 0, lambda of: _breakers(of.open_breakers)),
)


@click.command(short_help="Show what engines restore and save, live.")
@click.argument("instances", nargs=-1, required=True)
@click.option(
    "--interval", type=click.FloatRange(0.1), default=2.0, show_default=True, help="Seconds."
)
@click.option("--count", type=click.IntRange(1), help="Looks to take; default: until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an instance and look.")
def top(instances: Sequence[str], interval: float, count: int | None, *, as_json: bool) -> None:
    """Show what the INSTANCES, addresses of vLLM such as http://host:8000, do with the cache, live.

    Without a terminal, or with --json, one table or object is printed for each look.
    """
    watched = [Instance(url) for url in instances]
    if len({instance.name for instance in watched}) < len(watched):
        raise ConfigError("an instance is named twice; name each once")
    before = [_look(instance) for instance in watched]
    is_live = sys.stdout.isatty() and not as_json
    console = console_for(sys.stdout)
    with Live(console=console, auto_refresh=False, screen=False) if is_live else _Still() as live:
        taken = 0
        while count is None or taken < count:
            time.sleep(interval)
            after = [_look(instance) for instance in watched]
            rows = [
                (instance.name, _between(*pair))
                for instance, pair in zip(watched, zip(before, after, strict=True), strict=True)
            ]
            if as_json:
                _print_json(rows)
            elif isinstance(live, Live):
                live.update(screen(rows, console.width), refresh=True)
            else:
                console.print(screen(rows, console.width))
            before, taken = after, taken + 1


class _Still:
    """Stands where nothing is live."""

    def __enter__(self) -> _Still:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _look(instance: Instance) -> Look:
    try:
        return time.monotonic(), instance.samples()
    except NoAnswerError as error:
        return time.monotonic(), str(error)


def _between(before: Look, after: Look) -> Traffic | str:
    """What happened between two looks, or why that isn't known."""
    if isinstance(after[1], str):
        return after[1]
    earlier = {} if isinstance(before[1], str) else before[1]
    return between(earlier, after[1], max(after[0] - before[0], 1e-3))


def _print_json(rows: Sequence[tuple[str, Traffic | str]]) -> None:
    objects = [
        {"instance": name, **({"error": each} if isinstance(each, str) else asdict(each))}
        for name, each in rows
    ]
    Output(as_json=True).objects(objects, str)


def screen(rows: Sequence[tuple[str, Traffic | str]], width: int) -> Group:
    """Make a table of the instances that answer, in ``width`` characters, and a line for each other."""
    # Names take half of the width at most, and are folded where they are longer.
    widest = min(max(cell_len(name) for name, _ in rows), width // 2)
    shown, left_out = that_fit(_COLUMNS, width - max(widest, len(_FIRST)))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(_FIRST, overflow="fold", vertical="bottom")
    for column in shown:
        table.add_column(column.title, justify="right", no_wrap=True, min_width=column.width)
    for name, traffic in rows:
        if isinstance(traffic, Traffic):
            table.add_row(Text(name), *(column.cell(traffic) for column in shown))
    silent = [Text(f"no answer from {each}", "red") for _, each in rows if isinstance(each, str)]
    if not table.rows:
        return Group(*silent)
    names = ", ".join(column.name for column in left_out)
    more = [Text(f"a wider terminal shows also: {names}", "dim")] if left_out else []
    return Group(table, *silent, *more)
