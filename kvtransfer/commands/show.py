"""``kvtransfer show``: everything about one entry."""

from __future__ import annotations

import time

import click

from kvtransfer.commands.ls import as_object
from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.errors import ConfigError
from kvtransfer.operate.pace import Pace
from kvtransfer.operate.quantities import age_text, bytes_text
from kvtransfer.operate.verification import Verifier
from kvtransfer.stores.interface import StoredEntry


@click.command()
@click.argument("key")
@store_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(options: StoreOptions, key: str, *, as_json: bool) -> None:
    """Show the entry of KEY in the store at URL: its record, and whether its payload is what it says."""
    settings, now_s = options.settings, time.time()
    with options.opened(settings) as store:
        record = store.record_of(key)
        if record is None:
            raise ConfigError(f"no entry {key!r} in {options.address}; kvtransfer ls lists them")
        entry = StoredEntry.of(record)
        ((_, verdict),) = Verifier(store, settings.seals.opens, Pace(0)).verify([entry])
    facts = {**as_object(entry, now_s), "nonce": record.identity.nonce.hex(), "verdict": verdict}
    shown = {name: str(fact) for name, fact in facts.items()}
    shown["bytes"] = f"{entry.nbytes} ({bytes_text(entry.nbytes)})"
    shown["age_s"] = f"{facts['age_s']} ({age_text(now_s - entry.created_s)})"
    Output(as_json=as_json).facts(facts, shown)
