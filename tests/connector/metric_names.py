"""Names of metrics: those on a page, on a dashboard and on vLLM's ``/metrics``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"
DASHBOARD = DOCS / "grafana.json"

NAME = re.compile(r"\b(?:kvtransfer|vllm):\w+")


def table() -> dict[str, str]:
    """What each of our metrics counts, by its name in the table of the page."""
    rows = re.findall(r"^\| `(kvtransfer:\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(dict(rows)) == len(rows), "a name stands in the table twice"
    return dict(rows)


def expressions() -> Iterator[tuple[str, str]]:
    """Each panel's title and one of its expressions."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def exported(scraped: str) -> dict[str, str]:
    """The meaning of each series of ``scraped``, by the name that a query gives it."""
    return {
        sample.name: family.documentation
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    }
