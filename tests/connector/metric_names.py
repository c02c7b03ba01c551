"""Names of metrics: on a page, on a dashboard, in alert rules and on vLLM's ``/metrics``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "metrics.md"
DASHBOARD = DOCS / "grafana.json"
RULES = DOCS / "alerts.yml"

NAME = re.compile(r"\b(?:kvtransfer|vllm):\w+")


def table() -> dict[str, tuple[str, str]]:
    """Kind and meaning of each of our metrics, by its name in the table of the page."""
    rows = re.findall(
        r"^\| `(kvtransfer:\w+)` \| (\w+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE
    )
    found = {name: (kind, meaning) for name, kind, meaning in rows}
    assert len(found) == len(rows), "a name stands in the table twice"
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Each panel's title and one of its expressions."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def filled(expression: str, model: str = "m", window: str = "5m") -> str:
    """``expression`` as Grafana fills it in for all instances of ``model``."""
    named = expression.replace("$model", model).replace("$instance", ".*")
    return re.sub(r"\$__\w+", window, named)


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    return list(yaml.safe_load(RULES.read_text())["groups"][0]["rules"])


def asked(expression: str) -> set[str]:
    """The metrics that ``expression`` is about, a histogram by its own name."""
    return {re.sub("_(bucket|sum|count)$", "", name) for name in NAME.findall(expression)}


def exported(scraped: str) -> dict[str, tuple[str, str]]:
    """Kind and meaning of each metric of ``scraped``."""
    return {
        family.name + "_total" * (family.type == "counter"): (family.type, family.documentation)
        for family in text_string_to_metric_families(scraped)
        if not family.name.endswith("_created")
    }
