"""Lists the verbs; each is imported when it is asked for, since some need what others don't."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

VERBS = {
    "doctor": "doctor:doctor",
    "ls": "ls:ls",
    "du": "du:du",
    "show": "show:show",
    "quota": "quota:quota",
    "verify": "verify:verify",
    "clear": "clear:clear_command",
    "top": "top:top",
    "watch": "watch:watch",
    "report": "report:report",
    "bench": "bench:bench",
    "migrate": "migrate:migrate",
    "trace": "trace:trace",
    "tenant": "tenant:tenant",
    "simulate": "simulate:simulate",
}
"""The module of each verb, below ``kvtransfer.commands``, and its command."""


class Verbs(click.Group):
    """A group whose commands are imported when they are needed.

    Args:
        verbs: see ``VERBS``.
    """

    def __init__(self, *arguments: Any, verbs: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None where there is none of that name."""
        del ctx
        if cmd_name not in self._verbs:
            return None
        module, _, name = self._verbs[cmd_name].partition(":")
        command = getattr(import_module(f"kvtransfer.commands.{module}"), name)
        return cast("click.Command", command)
