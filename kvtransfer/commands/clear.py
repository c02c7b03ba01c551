"""``kvtransfer clear``: removes entries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.output import Output
from kvtransfer.commands.selection_options import selection_options
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.errors import ConfigError
from kvtransfer.operate.clearing import Cleared, clear
from kvtransfer.operate.quantities import bytes_text

if TYPE_CHECKING:
    from kvtransfer.operate.selection import Selection


@click.command("clear", short_help="Remove entries.")
@store_options
@selection_options
@click.option("--orphans", is_flag=True, help="Remove payloads without a record, and nothing else.")
@click.option("--all", "everything", is_flag=True, help="Remove all entries of all models.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def clear_command(
    options: StoreOptions,
    selection: Selection,
    *,
    orphans: bool,
    everything: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove the chosen entries of the store at URL; what isn't an entry of ours stays.

    Engines that run meanwhile compute again what they miss.
    """
    _refuse_vague(selection, orphans=orphans, everything=everything)
    output, now_s, cleared = Output(as_json=as_json), time.time(), Cleared()
    with options.opened(options.settings) as store, output.progress("clearing") as tell:
        chosen = (entry for entry in options.paced(store) if selection.has(entry, now_s))
        halves = store.orphans() if orphans or everything else ()
        remove = (lambda _: None) if dry_run else store.remove
        for cleared in clear(() if orphans else chosen, halves, remove):
            tell(f"{cleared.entries:,} entries, {bytes_text(cleared.stored_bytes)}")
    verb = "would be removed" if dry_run else "removed"
    facts = {**vars(cleared), "dry_run": dry_run}
    shown = {verb: f"{cleared.entries:,} entries, {bytes_text(cleared.stored_bytes)}"}
    if cleared.orphans:
        shown["without a record"] = (
            f"{cleared.orphans:,} payload{'' if cleared.orphans == 1 else 's'}"
        )
    output.facts(facts, shown)


def _refuse_vague(selection: Selection, *, orphans: bool, everything: bool) -> None:
    """Refuse to guess.

    Raises:
        ConfigError: nothing says what to remove, or two things do.
    """
    if sum((orphans, everything, not selection.is_everything)) != 1:
        raise ConfigError(
            "say what to remove, and only that: --model, --codec, --dtype, --tenant and "
            "--older-than pick entries, --orphans takes payloads without a record, --all takes "
            "everything"
        )
