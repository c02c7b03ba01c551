"""Runs the command ``kvtransfer`` and its subcommands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kvtransfer import __version__
from kvtransfer.commands.verbs import VERBS, Verbs
from kvtransfer.errors import ConfigError, StoreError
from kvtransfer.simulate.trace import TraceError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRONG_INPUT, _NO_ANSWER, _INTERRUPTED = 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, by default those of the process.

    Returns:
        The exit status: 0; 1 where a verb has found something wrong; 2 for wrong input; 3 where a
        store doesn't answer; 130 for an interrupt.
    """
    try:
        status = root.main(arguments, prog_name="kvtransfer", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return _INTERRUPTED
    except click.ClickException as error:
        return _told(error.format_message(), _WRONG_INPUT)
    except (ConfigError, TraceError) as error:
        return _told(error, _WRONG_INPUT)
    except StoreError as error:
        return _told(error, _NO_ANSWER)
    return status if isinstance(status, int) else 0


@click.group(cls=Verbs, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kvtransfer", message="%(prog)s %(version)s")
def root() -> None:
    """Looks into the KV cache of a fleet, and simulates it.

    Exit status: 0; 1 where something wrong was found; 2 for wrong input; 3 where a store doesn't
    answer; 130 for an interrupt.
    """


def _told(error: object, status: int) -> int:
    print(f"kvtransfer: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
