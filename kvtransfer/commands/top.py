"""``kvtransfer top``: what the instances of a fleet restore and save, live."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from kvtransfer.commands.output import Output
from kvtransfer.errors import ConfigError
from kvtransfer.operate.instance import Instance, NoAnswerError
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.traffic import Traffic, between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Look = tuple[float, Mapping[str, float] | str]

_COLUMNS = (
    "instance",
    "prompt tok/s",
    "local",
    "restored",
    "host tok/s",
    "store tok/s",
    "fetched",
    "put",
    "load p50",
    "TTFT p50",
    "evicted/s",
    "lost/s",
    "breakers",
)


@click.command()
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
    console = Console(highlight=False)
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
                live.update(_table(rows), refresh=True)
            else:
                console.print(_table(rows))
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


def _table(rows: Sequence[tuple[str, Traffic | str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, title in enumerate(_COLUMNS):
        table.add_column(title, justify="right" if number else "left", no_wrap=number > 0)
    for name, traffic in rows:
        table.add_row(name, *(_cells(traffic) if isinstance(traffic, Traffic) else ["no answer"]))
    return table


def _cells(of: Traffic) -> list[str]:
    return [
        f"{of.prompt_tokens_per_s:,.0f}",
        _share(of.local_share),
        _share(of.restored_share),
        f"{of.host_tokens_per_s:,.0f}",
        f"{of.store_tokens_per_s:,.0f}",
        f"{bytes_text(of.fetched_bytes_per_s)}/s",
        f"{bytes_text(of.put_bytes_per_s)}/s",
        _seconds(of.load_p50_s),
        _seconds(of.ttft_p50_s),
        f"{of.evicted_chunks_per_s:.1f}",
        f"[red]{of.lost_chunks_per_s:.1f}[/]" if of.lost_chunks_per_s else "0",
        f"[red]{of.open_breakers} open[/]" if of.open_breakers else "closed",
    ]


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"≤{seconds:g} s"
