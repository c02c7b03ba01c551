"""Turns panels of ``docs/grafana.json`` into a page that a Prometheus draws by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana.json"
_TILES = (100, 101, 102, 103)
_GRAPHS = (1, 4, 6, 2, 13, 110)
_UNITS = {"s": "s", "Bps": "B/s", "bytes": "B"}
_VARIABLES = {"$model": ".*", "$instance": ".*"}

# Prometheus fills in what stands between {{ and }}; its own scripts draw the graphs.
_PAGE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>kvtransfer</title>
[% for sheet in sheets %]<link rel="stylesheet" href="/classic/static/[[ sheet ]]">[% endfor %]
[% for script in scripts %]<script src="/classic/static/[[ script ]]"></script>
[% endfor %]
<style>
body { padding: 14px; background: #fff; color: #1d2330; font: 14px/1.4 sans-serif; }
.tiles, .graphs { display: grid; grid-template-columns: repeat(4, 1fr); gap: 12px; }
.graphs { grid-template-columns: 1fr 1fr; margin-top: 12px; }
.tiles div, .graphs section { border: 1px solid #d8dde6; border-radius: 6px; padding: 10px 12px; }
.tiles b { display: block; font-size: 26px; } h2 { font-size: 15px; margin: 0 0 6px; }
.rickshaw_graph { width: 455px; } .prom_graph_xtitle, .prom_graph_link { display: none; }
.rickshaw_legend { background: none; color: inherit; padding: 0; }
.rickshaw_legend li { display: inline-block; }
</style></head><body>
<div class="tiles">
[% for tile in tiles %]
<div>[[ tile.title ]]<b>{{ with query [[ tile.query ]] }}{{ . | first | value | [[ tile.form ]] }}{{ end }}</b></div>
[% endfor %]
</div>
<div class="graphs">
[% for graph in graphs %]
<section><h2>[[ graph.title ]]</h2><div id="graph[[ loop.index ]]"></div></section>
[% endfor %]
</div>
<script>
var PATH_PREFIX = "";
[% for graph in graphs %]
new PromConsole.Graph({node: document.getElementById("graph[[ loop.index ]]"), expr: [[ graph.queries ]],
  name: [[ graph.names ]], yUnits: "[[ graph.unit ]]", min: 0, height: 170, duration: [[ seconds ]],
  max: [[ graph.max ]], yAxisFormatter: [[ graph.formatter ]], endTime: Date.now() / 1000});
[% endfor %]
</script></body></html>
"""
_SHEETS = ("rickshaw/rickshaw.min.css", "bootstrap4/css/bootstrap.min.css", "css/prom_console.css")
_SCRIPTS = (
    "d3/d3.min.js",
    "vendor/rickshaw/vendor/d3.layout.min.js",
    "rickshaw/rickshaw.min.js",
    "jquery/jquery.min.js",
    "js/prom_console.js",
)
_NUMBER = "PromConsole.NumberFormatter.humanizeNoSmallPrefix"
_PERCENT = "share => `${Math.round(100 * share)} %`"
_FORMS = {"percentunit": "humanizePercentage", "s": "humanizeDuration", "none": 'printf "%.0f"'}


def console_page(seconds: int) -> str:
    """Return a console template with the main panels, over the last ``seconds``."""
    panels = {panel["id"]: panel for panel in json.loads(DASHBOARD.read_text())["panels"]}
    environment = Environment(
        autoescape=False,
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        trim_blocks=True,
    )
    return environment.from_string(_PAGE).render(
        sheets=_SHEETS,
        scripts=_SCRIPTS,
        tiles=[_tile(panel, seconds) for panel in _chosen(panels, _TILES)],
        graphs=[_graph(panel, seconds) for panel in _chosen(panels, _GRAPHS)],
        seconds=seconds,
    )


def _chosen(panels: dict[int, dict[str, Any]], ids: Iterable[int]) -> list[dict[str, Any]]:
    return [panels[number] for number in ids]


def _tile(panel: dict[str, Any], seconds: int) -> dict[str, str]:
    form = _FORMS[_unit(panel)]
    (target,) = panel["targets"]
    return {"title": panel["title"], "query": json.dumps(_query(target, seconds)), "form": form}


def _graph(panel: dict[str, Any], seconds: int) -> dict[str, str]:
    names = [target["legendFormat"] for target in panel["targets"]]
    return {
        "title": panel["title"],
        "queries": json.dumps([_query(target, seconds) for target in panel["targets"]]),
        # What Grafana writes as {{instance}}, Prometheus' page writes as [[ instance ]].
        "names": json.dumps([name.replace("{{", "[[ ").replace("}}", " ]]") for name in names]),
        "unit": _UNITS.get(_unit(panel), ""),
        "max": "1.1" if _unit(panel) == "percentunit" else "undefined",
        "formatter": _PERCENT if _unit(panel) == "percentunit" else _NUMBER,
    }


def _unit(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"]["unit"])


def _query(target: dict[str, str], seconds: int) -> str:
    """Return the query of ``target`` with the values that Grafana would put in."""
    values = {**_VARIABLES, "$__rate_interval": "30s", "$__range": f"{seconds}s"}
    query = target["expr"]
    for name, value in values.items():
        query = query.replace(name, value)
    return query
