"""Makes the page: one file of HTML without anything from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader

from kvtransfer.operate.quantities import age_text, bytes_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kvtransfer.operate.doctor.finding import Finding
    from kvtransfer.operate.report.totals import Totals
    from kvtransfer.operate.usage import Usage


@dataclass(frozen=True)
class Contents:
    """What the page is about."""

    address: str
    """The URL of the store, without secrets."""
    now_s: float
    """Seconds since 1970."""
    groups: Mapping[tuple[str, ...], Usage]
    """What is stored, by model, codec and dtype, the largest first."""
    ages: Mapping[tuple[str, ...], Usage]
    instances: Sequence[Totals]
    silent: Sequence[str]
    """Why instances did not answer."""
    findings: Sequence[Finding]

    @property
    def stored_bytes(self) -> int:
        """Bytes of all entries."""
        return sum(usage.stored_bytes for usage in self.groups.values())

    @property
    def entries(self) -> int:
        """How many there are."""
        return sum(usage.entries for usage in self.groups.values())

    @property
    def reused_share(self) -> float:
        """Share of all instances' prompt tokens that were not computed; 0 without prompts."""
        prompts = sum(each.prompt_tokens for each in self.instances)
        computed = sum(each.computed_tokens for each in self.instances)
        return 1 - computed / prompts if prompts else 0.0


def page(contents: Contents) -> str:
    """Return the page as HTML. Texts from stores and instances are escaped."""
    environment = Environment(
        loader=PackageLoader("kvtransfer.operate.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bytes": bytes_text,
        "age": lambda created_s: age_text(contents.now_s - created_s),
        "number": lambda number: f"{number:,.0f}",
        "percent": lambda share: f"{share:.0%}",
        "part": lambda part, total: f"{part / total:.0%}" if total else "0%",
        "share": lambda part, total: f"{100 * part / total:.2f}" if total else "0",
    }
    written = datetime.fromtimestamp(contents.now_s, UTC)
    template = environment.get_template("page.html")
    return template.render(of=contents, written=f"{written:%Y-%m-%d %H:%M} UTC")
