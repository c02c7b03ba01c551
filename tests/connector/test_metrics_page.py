"""One table of what we export, and a dashboard of it: neither may lag behind the code."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from kvtransfer.metrics import COUNTERS, DURATIONS, GAUGES, TENANT_GAUGES
from tests.connector.metric_names import NAME, asked, exported, expressions, table

pytestmark = pytest.mark.vllm
GROWTHS = (
    "rate(SERIES[$__rate_interval])",
    "rate(SERIES[$__range])",
    "increase(SERIES[$__range])",
)


@pytest.fixture(scope="module")
def ours():
    """What our part of ``/metrics`` holds once each metric has been told something."""
    from kvtransfer.connector.vllm.stats import TransferPromMetrics

    registry = CollectorRegistry()
    kinds = {
        kind: lambda kind=kind, **arguments: kind(registry=registry, **arguments)
        for kind in (Counter, Gauge, Histogram)
    }
    config = SimpleNamespace(kv_transfer_config=None)
    metrics = TransferPromMetrics(config, kinds, ["model_name", "engine"], {0: ["tiny", "0"]})
    metrics.observe(dict.fromkeys([*COUNTERS, *GAUGES], 1))
    metrics.observe({name: [0.2, 0.4] for name in DURATIONS})
    metrics.observe({name: {"none": 1, "other": 2} for name in TENANT_GAUGES})
    return exported(generate_latest(registry).decode())


def test_the_table_is_what_is_exported(ours):
    assert table() == ours


def test_the_dashboard_shows_all_of_ours_and_nothing_else(ours):
    shown = {name for _, expression in expressions() for name in asked(expression)}
    assert {name for name in shown if name.startswith("kvtransfer:")} == set(ours)


@pytest.mark.parametrize(("title", "expression"), list(expressions()))
def test_an_expression_adds_up_what_is_chosen(title, expression):
    """Of several processes; counters mean something only as a sum of rates."""
    names = NAME.findall(expression)
    assert names
    for name in names:
        chosen = f'{name}{{model_name=~"$model", instance=~"$instance"}}'
        is_gauge = name.removeprefix("kvtransfer:") in GAUGES
        merged = "max" if name == "kvtransfer:disk_used_bytes" else "sum"  # all see one folder
        forms = [f"{merged}({chosen})"] if is_gauge else GROWTHS
        if name.removeprefix("kvtransfer:") in TENANT_GAUGES:
            forms = [f"sum by (tenant) ({chosen})"]
        assert any(form.replace("SERIES", chosen) in expression for form in forms)
    assert expression.count("(") == expression.count(")")
