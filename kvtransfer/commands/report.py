"""``kvtransfer report``: one page of HTML about a store and the engines that use it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvtransfer.commands.doctor import judge_deployment
from kvtransfer.commands.output import Output
from kvtransfer.commands.store_options import StoreOptions, store_options
from kvtransfer.errors import ConfigError
from kvtransfer.operate.instance import Instance, NoAnswerError
from kvtransfer.operate.report.page import Contents, page
from kvtransfer.operate.report.totals import Totals, totals_of
from kvtransfer.operate.usage import Usage, summed

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command(short_help="Write a page of HTML about a store.")
@store_options
@click.option(
    "--instance",
    "instances",
    multiple=True,
    metavar="URL",
    help="A vLLM that uses the store, such as http://host:8000; give it several times.",
)
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("kvtransfer-report.html"),
    show_default=True,
)
def report(options: StoreOptions, instances: Sequence[str], path: Path) -> None:
    """Write a page about the store at URL: what is cached, who uses it, what to change.

    Nothing in the store is changed; the page needs nothing from elsewhere.
    """
    output, now_s = Output(as_json=False), time.time()
    by = ("model", "codec", "dtype")
    with options.opened(options.settings) as store, output.progress("listing"):
        both = summed(options.paced(store), [*by, "age"], now_s)
    totals, silent = _totals([Instance(url) for url in instances])
    contents = Contents(
        address=options.address,
        now_s=now_s,
        groups=_joined(both, slice(0, len(by))),
        ages=_joined(both, slice(len(by), None)),
        instances=totals,
        silent=silent,
        findings=judge_deployment(options.config, options.url),
    )
    try:
        path.write_text(page(contents), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output {path}: {error.strerror}; name another file") from None
    output.tell(f"wrote {path}")


def _joined(groups: dict[tuple[str, ...], Usage], part: slice) -> dict[tuple[str, ...], Usage]:
    """Join groups that have the same ``part`` of their names, the largest first."""
    joined: dict[tuple[str, ...], Usage] = {}
    for names, usage in groups.items():
        joined.setdefault(names[part], Usage()).join(usage)
    return dict(sorted(joined.items(), key=lambda pair: -pair[1].stored_bytes))


def _totals(instances: Sequence[Instance]) -> tuple[list[Totals], list[str]]:
    """Ask each; return the sums of those that answer, and why the others don't."""
    asked = list(map(_asked, instances))
    answered = [each for each in asked if isinstance(each, Totals)]
    return answered, [each for each in asked if isinstance(each, str)]


def _asked(instance: Instance) -> Totals | str:
    try:
        return totals_of(instance.name, instance.samples())
    except NoAnswerError as error:
        return str(error)
