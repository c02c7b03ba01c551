"""``kvtransfer show``: everything about one entry."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from rich.text import Text

from kvtransfer.commands.ls import as_object
from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.commands.verify import colour_of
from kvtransfer.errors import ConfigError
from kvtransfer.operate.pace import Pace
from kvtransfer.operate.quantities import age_text, bytes_text
from kvtransfer.operate.verification import Verifier
from kvtransfer.stores.interface import StoredEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.operate.verification import Verdict


@click.command(short_help="Show everything about one entry.")
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
    Output(as_json=as_json).facts(facts, _shown(facts, verdict, entry.created_s, now_s))


def _shown(
    facts: Mapping[str, object], verdict: Verdict, created_s: int, now_s: float
) -> dict[str, str | Text]:
    put = datetime.fromtimestamp(created_s, UTC)
    nbytes = int(str(facts["bytes"]))
    names = ("key", "model", "tokens", "codec", "dtype", "shape", "layout")
    return {
        **{name: str(facts[name]) for name in names},
        "rank": f"{facts['worker_id']} of {facts['world_size']}",
        "stored": f"{bytes_text(nbytes)} ({nbytes:,} bytes)",
        "put": f"{put:%Y-%m-%d %H:%M:%S} UTC, {age_text(now_s - created_s)} ago",
        "seal": str(facts["seal"]),
        **({"nonce": str(facts["nonce"])} if facts["nonce"] else {}),
        "verdict": Text(verdict, colour_of(verdict)),
    }
