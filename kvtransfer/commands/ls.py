"""``kvtransfer ls``: the entries of a store, one a line."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.selection_options import selection_options
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.operate.quantities import age_text, bytes_text
from kvtransfer.printable import printable
from kvtransfer.quotas.limits import tenant_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtransfer.operate.selection import Selection
    from kvtransfer.stores.interface import StoredEntry

_HEADER = "  stored   age  codec     dtype     tokens  tenant    key"
# Enough of a digest to tell tenants apart at a glance.
_TENANT_DIGITS = 8


@click.command(short_help="List entries, one a line.")
@store_options
@selection_options
@click.option("--limit", type=click.IntRange(1), help="Stop after this number.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(options: StoreOptions, selection: Selection, limit: int | None, *, as_json: bool) -> None:
    """List the entries of the store at URL: length, age, codec, dtype, tokens, tenant, key.

    Nothing is read but records, so an entry that is listed may still be damaged: see verify.
    """
    output, now_s = Output(as_json=as_json), time.time()
    with options.opened(options.settings) as store:
        chosen = (entry for entry in options.paced(store) if selection.has(entry, now_s))
        listed = (as_object(entry, now_s) for entry in islice(chosen, limit))
        if not output.objects(listed, _shown, _HEADER):
            output.tell(options.nothing(selection))


def as_object(entry: StoredEntry, now_s: float) -> dict[str, object]:
    """What is known of ``entry`` without reading its payload."""
    identity = entry.identity
    return {
        "key": entry.key,
        "model": identity.model_name,
        "bytes": entry.nbytes,
        "tokens": identity.tokens,
        "codec": identity.format,
        "dtype": identity.dtype,
        "shape": list(identity.shape),
        "layout": identity.layout,
        "world_size": identity.world_size,
        "worker_id": identity.worker_id,
        "created": entry.created_s,
        "age_s": max(0, round(now_s - entry.created_s)),
        "seal": identity.seal,
        "tenant": identity.tenant,
    }


def _shown(entry: Mapping[str, object]) -> str:
    size, age = bytes_text(int(str(entry["bytes"]))), age_text(int(str(entry["age_s"])))
    facts = f"{entry['codec']:<8}  {entry['dtype']:<8}  {entry['tokens']:>6}"
    tenant = tenant_name(str(entry["tenant"]))[:_TENANT_DIGITS]
    return printable(f"{size:>8}  {age:>4}  {facts}  {tenant:<{_TENANT_DIGITS}}  {entry['key']}")
