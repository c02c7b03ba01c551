"""``kvtransfer du``: what the entries of a store hold, summed up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.selection_options import selection_options
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.operate.quantities import age_text, bytes_text
from kvtransfer.operate.usage import Usage, columns, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kvtransfer.operate.selection import Selection
    from kvtransfer.stores.interface import StoredEntry


@click.command(short_help="Sum up what the entries hold.")
@store_options
@selection_options
@click.option(
    "--by",
    type=click.Choice(list(columns(0))),
    multiple=True,
    default=("model", "codec", "dtype"),
    show_default=True,
    help="Columns to sum up by; give it several times.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def du(options: StoreOptions, selection: Selection, by: Sequence[str], *, as_json: bool) -> None:
    """Sum up the entries of the store at URL, the largest group first."""
    output, now_s = Output(as_json=as_json), time.time()
    with options.opened(options.settings) as store, output.progress("listing") as tell:
        chosen = (entry for entry in options.paced(store) if selection.has(entry, now_s))
        groups = summed(_counted(chosen, tell), by, now_s)
    total = Usage()
    for usage in groups.values():
        total.join(usage)
    rows = [_row(dict(zip(by, names, strict=True)), usage) for names, usage in groups.items()]
    if len(rows) != 1:
        rows.append(_row({by[0]: "total"}, total))
    if not groups and not as_json:
        output.tell(options.nothing(selection))
        return
    output.table(rows, _columns(by, now_s), texts=len(by))


def _counted(entries: Iterable[StoredEntry], tell: Callable[[str], None]) -> Iterator[StoredEntry]:
    for number, entry in enumerate(entries, 1):
        yield entry
        if number % 1000 == 0:
            tell(f"{number:,} entries")


def _row(names: Mapping[str, str], usage: Usage) -> dict[str, object]:
    return {
        **names,
        "entries": usage.entries,
        "bytes": usage.stored_bytes,
        "tokens": usage.tokens,
        "oldest": usage.oldest_s,
        "newest": usage.newest_s,
    }


def _columns(by: Sequence[str], now_s: float) -> dict[str, Callable[[Mapping[str, object]], str]]:
    def age(name: str) -> Callable[[Mapping[str, object]], str]:
        return lambda row: "" if row[name] is None else age_text(now_s - int(str(row[name])))

    return {
        **{name: lambda row, name=name: str(row.get(name, "")) for name in by},  # type: ignore[misc]
        "entries": lambda row: f"{row['entries']:,}",
        "stored": lambda row: bytes_text(int(str(row["bytes"]))),
        "tokens": lambda row: f"{row['tokens']:,}",
        "oldest": age("oldest"),
        "newest": age("newest"),
    }
