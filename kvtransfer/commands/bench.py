"""``kvtransfer bench``: what a store gives this machine."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.metrics import Metrics
from kvtransfer.operate.doctor.round_trip import round_trip
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.stores.open import open_entries, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.operate.doctor.round_trip import RoundTrip

_LEAST_CHUNKS = 8


@click.command(short_help="Measure how fast a store is from here.")
@store_options
@click.option(
    "--mib",
    type=click.IntRange(1, 512),
    multiple=True,
    default=(1, 8, 32),
    show_default=True,
    help="Sizes of a chunk; give it several times.",
)
@click.option("--total-mib", type=click.IntRange(1), default=256, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a size.")
def bench(options: StoreOptions, mib: Sequence[int], total_mib: int, *, as_json: bool) -> None:
    """Put, read and remove chunks in the store at URL, one after another, and print how fast that was.

    One connection, without what else makes loads fast: several at once, and work beside them.
    """
    output, rows = Output(as_json=as_json), []
    settings = settings_of(options.config, Metrics())
    with (
        closing(open_entries(options.url, settings)) as store,
        output.progress("measuring") as tell,
    ):
        round_trip(store, 1, 1 << 20)
        for size in mib:
            tell(f"chunks of {size} MiB")
            rows.append(_row(round_trip(store, max(_LEAST_CHUNKS, total_mib // size), size << 20)))
    output.table(
        rows,
        {
            "chunk": lambda row: bytes_text(_number(row, "chunk_bytes")),
            "chunks": lambda row: str(row["chunks"]),
            "put": lambda row: f"{bytes_text(_number(row, 'put_bytes_per_s'))}/s",
            "get": lambda row: f"{bytes_text(_number(row, 'get_bytes_per_s'))}/s",
            "came back": lambda row: str(row["came_back"]),
        },
        texts=1,
    )


def _row(trip: RoundTrip) -> dict[str, object]:
    speeds = {"put_bytes_per_s": trip.put_bytes_per_s, "get_bytes_per_s": trip.get_bytes_per_s}
    return {**vars(trip), **speeds}


def _number(row: Mapping[str, object], name: str) -> float:
    return float(str(row[name]))
