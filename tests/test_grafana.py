"""The dashboard: what each panel is about, and that it takes its source and instances from variables."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest

from kvtransfer.operate.traffic import LOST

DASHBOARD = json.loads((Path(__file__).parents[1] / "docs" / "grafana.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"]}


@pytest.mark.parametrize("title", PANELS)
def test_each_panel_says_what_it_shows_and_in_which_unit(title):
    panel = PANELS[title]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("title", PANELS)
def test_each_panel_follows_the_variables(title):
    panel = PANELS[title]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${source}"}
    for target in panel["targets"]:
        metrics = target["expr"].count("vllm:") + target["expr"].count("kvtransfer:")
        chosen = target["expr"].count('{model_name=~"$model", instance=~"$instance"}')
        assert metrics == chosen > 0


def test_the_variables_are_the_source_the_models_and_the_instances():
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["source", "model", "instance"]
    assert variables["source"]["type"] == "datasource"
    assert variables["model"]["multi"]
    assert variables["instance"]["multi"]


def test_tiles_come_first_with_colours_where_something_may_be_wrong():
    tiles = [panel for panel in DASHBOARD["panels"] if panel["type"] == "stat"]
    assert DASHBOARD["panels"][: len(tiles)] == tiles
    for title in ("Stores that fail", "Chunks lost"):
        steps = PANELS[title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, 1]


def test_chunks_are_lost_by_the_same_counters_as_in_top_and_in_the_report():
    (target,) = PANELS["Chunks lost"]["targets"]
    assert [name for name in LOST if f"kvtransfer:{name}_total" in target["expr"]] == list(LOST)
    assert target["expr"].count("kvtransfer:") == len(LOST)


def test_no_panel_covers_another():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(PANELS)
    for one, other in combinations([panel["gridPos"] for panel in PANELS.values()], 2):
        beside = one["x"] >= other["x"] + other["w"] or other["x"] >= one["x"] + one["w"]
        below = one["y"] >= other["y"] + other["h"] or other["y"] >= one["y"] + one["h"]
        assert beside or below, (one, other)
