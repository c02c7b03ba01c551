"""``kvtransfer watch``: what comes into a store and leaves it, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.usage import Usage, summed
from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@click.command(short_help="Show which entries come and go, live.")
@store_options
@click.option(
    "--interval", type=click.FloatRange(0.1), default=10.0, show_default=True, help="Seconds."
)
@click.option("--count", type=click.IntRange(1), help="Looks to take; default: until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def watch(options: StoreOptions, interval: float, count: int | None, *, as_json: bool) -> None:
    """Say for each model of the store at URL how many entries and bytes have come or gone.

    Each look lists the store, at most as fast as --rate says.
    """
    output = Output(as_json=as_json)
    with options.opened(options.settings) as store:
        before = summed(options.paced(store), ["model"], time.time())
        output.tell(f"{options.address} holds {_held(before)}; looking every {interval:g} s")
        taken = 0
        while count is None or taken < count:
            time.sleep(interval)
            after = summed(options.paced(store), ["model"], time.time())
            output.objects(changes(before, after), _shown)
            before, taken = after, taken + 1


def changes(
    before: Mapping[tuple[str, ...], Usage], after: Mapping[tuple[str, ...], Usage]
) -> Iterator[dict[str, object]]:
    """Yield what has changed, by model; models of which nothing has are left out."""
    for names in sorted({*before, *after}):
        earlier, now = before.get(names, Usage()), after.get(names, Usage())
        if (earlier.entries, earlier.stored_bytes) == (now.entries, now.stored_bytes):
            continue
        yield {
            "model": names[0],
            "entries": now.entries,
            "more_entries": now.entries - earlier.entries,
            "bytes": now.stored_bytes,
            "more_bytes": now.stored_bytes - earlier.stored_bytes,
        }


def _shown(change: Mapping[str, object]) -> str:
    more, more_bytes = int(str(change["more_entries"])), int(str(change["more_bytes"]))
    grown_bytes = f"{'-' if more_bytes < 0 else '+'}{bytes_text(abs(more_bytes))}"
    grown = f"{more:>+7,} entries  {grown_bytes:>9}"
    held = f"{change['entries']:>7,}  {bytes_text(int(str(change['bytes']))):>8}"
    return printable(f"{time.strftime('%H:%M:%S')}  {grown}  now {held}  {change['model']}")


def _held(groups: Mapping[tuple[str, ...], Usage]) -> str:
    entries = sum(usage.entries for usage in groups.values())
    return f"{entries:,} entries, {bytes_text(sum(each.stored_bytes for each in groups.values()))}"
