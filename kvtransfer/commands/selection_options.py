"""Defines the options that pick entries."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from kvtransfer.operate.quantities import duration_s
from kvtransfer.operate.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable


class Duration(click.ParamType):  # type: ignore[type-arg] # older clicks have no type
    """A duration such as ``7d``, in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read ``value``, or fail with one sentence."""
        try:
            return duration_s(value) if isinstance(value, str) else float(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` options that pick entries, as its argument ``selection``."""

    @click.option("--model", help="Only entries of this model, by its whole name.")
    @click.option("--codec", help="Only entries that this codec wrote.")
    @click.option("--dtype", help="Only entries of this dtype.")
    @click.option(
        "--tenant",
        help="Only this tenant's entries: its digest, as du --by tenant prints it, or none.",
    )
    @click.option(
        "--older-than",
        type=Duration(),
        metavar="AGE",
        help="Only entries of this age or more: 12h, 7d.",
    )
    @wraps(command)
    def with_options(
        *arguments: Any,
        model: str | None,
        codec: str | None,
        dtype: str | None,
        older_than: float | None,
        tenant: str | None,
        **others: Any,
    ) -> Any:
        selection = Selection(model, codec, dtype, older_than, tenant)
        return command(*arguments, selection=selection, **others)

    return with_options
