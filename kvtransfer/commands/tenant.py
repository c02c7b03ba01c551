"""``kvtransfer tenant``: what a ``cache_salt`` is called in a quotas file, in ``du`` and in metrics."""

from __future__ import annotations

import getpass
import sys

import click

from kvtransfer.chunks.keys import tenant_of_salt
from kvtransfer.commands.output import Output


@click.command(short_help="Print what a cache_salt is called.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def tenant(*, as_json: bool) -> None:
    """Say what the tenant of a cache_salt is called.

    The salt is the first line of standard input. The tenant is a digest, so that the salt, which may be
    a secret, stands in no file, command or log.
    """
    name = tenant_of_salt(_salt())
    if not name:
        raise click.UsageError("there is no cache_salt on standard input; write it in a line there")
    Output(as_json=as_json).objects([{"tenant": name}], lambda _: name)


def _salt() -> str:
    """The first line of standard input, which a terminal doesn't show."""
    if sys.stdin.isatty():
        return getpass.getpass("cache_salt: ", sys.stderr)
    return sys.stdin.readline().rstrip("\r\n")
