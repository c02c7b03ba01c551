"""Shows the options of a command in groups, and reads values of kinds that click doesn't know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable


def parsed(
    parse: Callable[[str], Any],
) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Make a callback of an option, which returns what ``parse`` reads; None where nothing is given.

    Args:
        parse: raises ``ValueError`` with a sentence about the text. The callback makes a
            ``ConfigError`` of it that names the option.
    """

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> Any:
        del ctx
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise ConfigError(f"{param.opts[0]}: {error}") from None

    return read


class GroupedOption(click.Option):
    """An option that is shown below a title.

    Args:
        arguments: as ``click.Option`` takes them.
        group: the title.
        options: as ``click.Option`` takes them.
    """

    def __init__(self, *arguments: Any, group: str, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help has a section for each group of options, in the order of their titles' first use."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections; options without a title are last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for option in sorted(options, key=lambda each: not isinstance(each, GroupedOption)):
            record = option.get_help_record(ctx)
            if record is not None:
                title = option.group if isinstance(option, GroupedOption) else "Other options"
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)
