"""Runs the command ``kvtransfer`` and its subcommands."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, NoReturn

from kvtransfer import __version__
from kvtransfer.errors import ConfigError
from kvtransfer.simulate import command
from kvtransfer.simulate.trace import TraceError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, by default those of the process.

    Returns:
        The exit status: 0, 2 for wrong input, 130 for an interrupt.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        return 130
    except (ConfigError, TraceError) as error:
        print(f"kvtransfer: {error}", file=sys.stderr)
        return 2
    return 0


class _Parser(ArgumentParser):
    """An argument parser whose errors are one sentence, without the usage text."""

    def error(self, message: str) -> NoReturn:
        """Print ``message`` and exit with status 2."""
        self.exit(2, f"kvtransfer: {message}\n")


def _parser() -> ArgumentParser:
    parser = _Parser(prog="kvtransfer", description="A KV cache layer for vLLM.")
    parser.add_argument("--version", action="version", version=f"kvtransfer {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate = commands.add_parser(
        "simulate",
        help=command.HELP,
        epilog=command.EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_arguments(simulate)
    simulate.set_defaults(run=command.simulate)
    return parser


if __name__ == "__main__":
    sys.exit(main())
