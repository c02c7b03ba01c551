"""``kvtransfer verify``: reads entries, and finds those that aren't what their records say."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from kvtransfer.commands.output import Output
from kvtransfer.commands.selection_options import selection_options
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.operate.pace import Pace
from kvtransfer.operate.progress_file import ProgressFile
from kvtransfer.operate.quantities import bytes_text
from kvtransfer.operate.verification import Findings, Verdict, Verifier
from kvtransfer.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kvtransfer.operate.selection import Selection
    from kvtransfer.stores.interface import Store, StoredEntry

FOUND = 1
"""The exit status where something is damaged."""
MIB_PER_S = 100
_SHOWN_KEYS = 20
_ORPHAN = "without a record"


def colour_of(verdict: Verdict) -> str:
    """In which colour people see ``verdict``."""
    return {Verdict.GOOD: "green", Verdict.DAMAGED: "red"}.get(verdict, "yellow")


@click.command(short_help="Find entries that are damaged.")
@store_options
@selection_options
@click.option(
    "--sample",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    help="Share of the entries to read, at random; default: all.",
)
@click.option(
    "--mib-per-s",
    type=click.FloatRange(0),
    default=MIB_PER_S,
    show_default=True,
    help="MiB a second at most; 0: as fast as the store gives.",
)
@click.option(
    "--repair", is_flag=True, help="Remove what is damaged, and payloads without a record."
)
@click.option(
    "--resume", type=click.Path(path_type=Path), help="File that remembers what was read."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    options: StoreOptions,
    selection: Selection,
    sample: float,
    mib_per_s: float,
    resume: Path | None,
    *,
    repair: bool,
    as_json: bool,
) -> int:
    """Read the entries of the store at URL, and check each payload against its record.

    Exit status 0: all is well; 1: something is damaged, and was not removed.
    """
    output, settings = Output(as_json=as_json), options.settings
    with ExitStack() as open_now:
        store = open_now.enter_context(options.opened(settings))
        tell = open_now.enter_context(output.progress("reading"))
        done = open_now.enter_context(closing(ProgressFile(resume))) if resume else None
        verifier = Verifier(store, settings.seals.opens, Pace(mib_per_s * 2**20))
        chosen = _chosen(options, store, selection, sample, done)
        remove = store.remove if repair else None
        findings = _read(verifier.verify(chosen), remove, done, tell)
        orphans = list(store.orphans()) if selection.is_everything else []
        for key in orphans if repair else ():
            store.remove(key)
    _print(output, findings, orphans, repair=repair, as_json=as_json)
    is_left = bool(findings.counts[Verdict.DAMAGED] or orphans) and not repair
    return FOUND if is_left else 0


def _read(
    verdicts: Iterable[tuple[StoredEntry, Verdict]],
    remove: Callable[[str], None] | None,
    done: ProgressFile | None,
    tell: Callable[[str], None],
) -> Findings:
    """Take all ``verdicts``, and remove what is damaged where there is something to do it with."""
    findings, read_bytes = Findings(), 0
    for entry, verdict in verdicts:
        findings.note(entry.key, verdict)
        read_bytes += entry.nbytes
        tell(f"{findings.entries:,} entries, {bytes_text(read_bytes)}")
        if remove is not None and verdict is Verdict.DAMAGED:
            remove(entry.key)
        if done is not None:
            done.add(entry.key)
    return findings


def _chosen(
    options: StoreOptions,
    store: Store,
    selection: Selection,
    sample: float,
    done: ProgressFile | None,
) -> Iterator[StoredEntry]:
    now_s, chance = time.time(), random.Random()
    for entry in options.paced(store):
        if not selection.has(entry, now_s) or (done is not None and entry.key in done):
            continue
        if sample == 1 or chance.random() < sample:
            yield entry


def _print(
    output: Output, findings: Findings, orphans: list[str], *, repair: bool, as_json: bool
) -> None:
    facts = {
        **{verdict.name.lower(): count for verdict, count in findings.counts.items()},
        "orphans": len(orphans),
        "repaired": repair,
        "damaged_keys": findings.damaged,
        "orphan_keys": orphans[:1000],
    }
    shown: dict[str, str | Text] = {
        verdict.value: Text(f"{count:,}", colour_of(verdict))
        for verdict, count in findings.counts.items()
        if count
    }
    if orphans:
        shown[_ORPHAN] = Text(f"{len(orphans):,}", "red")
    output.facts(facts, shown or {"entries": "none"})
    wrong = [(key, Verdict.DAMAGED.value) for key in findings.damaged]
    wrong += [(key, _ORPHAN) for key in orphans]
    if wrong and not as_json:
        _print_wrong(output, wrong, repair=repair)


def _print_wrong(output: Output, wrong: list[tuple[str, str]], *, repair: bool) -> None:
    """Print the first keys with what is wrong with them, and what was done or can be done."""
    for key, what in wrong[:_SHOWN_KEYS]:
        output.line(f"{'removed' if repair else what:<{len(_ORPHAN)}}  {printable(key)}")
    if len(wrong) > _SHOWN_KEYS:
        output.tell(f"and {len(wrong) - _SHOWN_KEYS:,} more; --json lists a thousand of each kind")
    if not repair:
        output.tell("--repair removes these; engines compute again what they miss")
