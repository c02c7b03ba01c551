"""The command ``kvtransfer``."""

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
    """Run the command; returns the exit status."""
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
    """Refuses in one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
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
