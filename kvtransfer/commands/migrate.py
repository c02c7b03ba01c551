"""``kvtransfer migrate``: LMCache's settings in ours, with a line for each thing that changes."""

from __future__ import annotations

import os
from pathlib import Path

import click
import yaml

from kvtransfer.commands.output import Output
from kvtransfer.config import TransferConfig


@click.command(short_help="Turn LMCache's settings into ours.")
@click.argument(
    "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: settings and notes.")
def migrate(file: Path | None, *, as_json: bool) -> None:
    """Print what LMCache's FILE, or its variables in the environment, are in our settings.

    The settings go to standard output, as a file for KVTRANSFER_CONFIG_FILE; what has no effect
    here, and why, goes to standard error.
    """
    notes: list[str] = []
    environ = _theirs() if file is None else {"LMCACHE_CONFIG_FILE": str(file)}
    config = TransferConfig.load({}, environ, lambda _, sentence: notes.append(sentence))
    origins = TransferConfig.origins({}, environ)
    ours = {name: getattr(config, name) for name in origins}
    output = Output(as_json=as_json)
    if as_json:
        output.facts({"settings": ours, "notes": notes}, {})
        return
    for name, value in ours.items():
        click.echo(f"{_line(name, value)}  # {origins[name].rpartition(': ')[2]}")
    for note in notes:
        output.tell(note)


def _theirs() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if name.startswith("LMCACHE_")}


def _line(name: str, value: object) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump({name: plain}, default_flow_style=False, width=10_000).strip()
