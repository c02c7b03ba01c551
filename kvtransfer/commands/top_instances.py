"""The instances' part of ``kvtransfer top``: what each engine restores and saves, live."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from kvtransfer.commands.columns import Column, fitted, named_below
from kvtransfer.operate.instance import Instance, NoAnswerError
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.traffic import Traffic, between

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Look = tuple[float, "Mapping[str, float] | str"]
"""When an instance was asked, by ``time.monotonic``, and its metrics, or why it doesn't answer."""


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


def look_at(instance: Instance) -> Look:
    """Ask ``instance``."""
    try:
        return time.monotonic(), instance.samples()
    except NoAnswerError as error:
        return time.monotonic(), str(error)


def traffic_between(before: Look, after: Look) -> Traffic | str:
    """Return what happened between two looks, or why that isn't known."""
    if isinstance(after[1], str):
        return after[1]
    earlier = {} if isinstance(before[1], str) else before[1]
    return between(earlier, after[1], max(after[0] - before[0], 1e-3))


def screen(rows: Sequence[tuple[str, Traffic | str]], width: int) -> Group:
    """Make a table of the instances that answer, in ``width`` characters, and a line for each other."""
    answers = [(name, each) for name, each in rows if isinstance(each, Traffic)]
    silent = [Text(f"no answer from {each}", "red") for _, each in rows if isinstance(each, str)]
    if not answers:
        return Group(*silent)
    table, left_out = fitted("instance", _COLUMNS, answers, width)
    return Group(table, *silent, *named_below(left_out))
