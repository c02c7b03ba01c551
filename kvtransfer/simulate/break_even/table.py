"""Makes the table that ``kvtransfer simulate --break-even`` prints."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.table import Table

from kvtransfer.simulate.break_even.report import chunk_prefill_s, part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtransfer.simulate.break_even.model import Model
    from kvtransfer.simulate.break_even.report import Part
    from kvtransfer.simulate.break_even.speed import Link
    from kvtransfer.simulate.break_even.verdict import Machine, Verdict


def table(model: Model, machine: Machine, found: Sequence[Verdict]) -> Table:
    """A column for each codec: what is loaded, how long a chunk takes, from where on it pays."""
    codecs = list(dict.fromkeys(verdict.codec for verdict in found))
    shown = Table("", box=None, pad_edge=False)
    for codec in codecs:
        shown.add_column(codec, justify="right", no_wrap=True)
    parts = [[part(model, kept, codec) for codec in codecs] for kept in model.kept]
    _add_parts(shown, "bytes a token", parts, lambda each: each.token_bytes)
    _add_parts(shown, "bytes of the end of a prefix, at most", parts, lambda each: each.end_bytes)
    first_s, last_s = chunk_prefill_s(model, machine)
    computed = f"{_ms(first_s)} to {_ms(last_s)}" if last_s > first_s else _ms(first_s)
    _add_links(shown, f"ms a chunk; to compute: {computed}", found, lambda it: _ms(it.chunk_s))
    _add_links(shown, "a load pays from, tokens", found, _pays_from)
    return shown


def _add_parts(
    shown: Table, title: str, parts: Sequence[Sequence[Part]], figure: Callable[[Part], float]
) -> None:
    rows = [row for row in parts if any(map(figure, row))]
    if not rows:
        return
    _add_title(shown, title)
    for row in rows:
        kept = row[0].kept
        layers = f", {kept.layers} layers" if kept.layers > 1 else ""
        shown.add_row(f" {kept.what}{layers}", *(f"{figure(each):,.0f}" for each in row))


def _add_links(
    shown: Table, title: str, found: Sequence[Verdict], cell: Callable[[Verdict], str]
) -> None:
    _add_title(shown, title)
    for link, row in groupby(found, key=lambda verdict: verdict.link):
        shown.add_row(f" {_name(link)}", *map(cell, row))


def _add_title(shown: Table, title: str) -> None:
    if shown.rows:
        shown.add_row()
    shown.add_row(title)


def _name(link: Link) -> str:
    return f"{link.tier}, {link.bytes_per_s / 1e9:g} GB/s"


def _ms(seconds: float) -> str:
    milliseconds = seconds * 1e3
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _pays_from(verdict: Verdict) -> str:
    return "never" if verdict.pays_from is None else f"{verdict.pays_from:,}"
