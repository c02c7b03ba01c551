"""``kvtransfer simulate``: replays a trace, or says from which context length on a load pays."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, NoReturn

import click

from kvtransfer.simulate import command

if TYPE_CHECKING:
    from collections.abc import Sequence


class _Parser(ArgumentParser):
    """An argument parser whose errors are one sentence, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with status 2."""
        self.exit(2, f"kvtransfer: {message}\n")


@click.command(
    short_help="Replay recorded requests on other sizes.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulate(arguments: Sequence[str]) -> None:
    """Replay a trace, or print from which context length on a load pays."""
    parser = _Parser(
        prog="kvtransfer simulate",
        description=command.HELP,
        epilog=command.EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    command.simulate(parser.parse_args(arguments))
