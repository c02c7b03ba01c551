"""``kvtransfer quota``: what the quotas of a store allow, and what is held under them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.recounting import recount_store
from kvtransfer.stores.open import open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kvtransfer.stores.ledgers.interface import Ledger, ScopeState

_KINDS = ("model", "namespace", "tenant")


@click.command(short_help="Show quotas, and what is held.")
@store_options
@click.option(
    "--recount", is_flag=True, help="First count all entries anew, and evict what is over a limit."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def quota(options: StoreOptions, *, recount: bool, as_json: bool) -> None:
    """Show what each model, namespace and tenant holds in the store at URL, and may hold.

    Engines with a quotas_file count there; LIMIT is the one by which an engine counted last.
    """
    output = Output(as_json=as_json)
    with closing(open_ledger(options.url, options.settings)) as ledger:
        if recount:
            with options.opened(options.settings) as store, output.progress("counting") as tell:
                recount_store(store, ledger, options.rate, tell)
        rows = _rows(ledger)
    if rows or as_json:
        output.table(rows, _COLUMNS, texts=2)
    else:
        output.tell(f"{options.address} counts under no quota; engines do with a quotas_file")


def _rows(ledger: Ledger) -> list[Mapping[str, object]]:
    states = [ledger.state(scope) for scope in ledger.scopes() if scope.kind in _KINDS]
    ordered = sorted(states, key=lambda each: (each.scope.kind, -each.held_bytes))
    return [_row(state) for state in ordered]


def _row(state: ScopeState) -> Mapping[str, object]:
    return {
        "scope": state.scope.kind,
        "name": state.scope.name,
        "limit_bytes": state.limit_bytes,
        "held_bytes": state.held_bytes,
        "entries": state.entries,
        "evicted": state.evicted,
        "refused": state.refused,
    }


def _number(name: str) -> Callable[[Mapping[str, object]], str]:
    return lambda row: f"{row[name]:,}"


def _bytes(name: str) -> Callable[[Mapping[str, object]], str]:
    return lambda row: bytes_text(int(str(row[name])))


def _share(row: Mapping[str, object]) -> str:
    limit, held = int(str(row["limit_bytes"])), int(str(row["held_bytes"]))
    return f"{held / limit:.0%}" if limit else ""


_COLUMNS: dict[str, Callable[[Mapping[str, object]], str]] = {
    "scope": lambda row: str(row["scope"]),
    "name": lambda row: str(row["name"]),
    "limit": _bytes("limit_bytes"),
    "held": _bytes("held_bytes"),
    "": _share,
    "entries": _number("entries"),
    "evicted": _number("evicted"),
    "refused": _number("refused"),
}
