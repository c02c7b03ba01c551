"""The page of main panels, drawn by a real Prometheus in a real browser."""

from __future__ import annotations

import json
import re

import pytest

from demo.fleet.child import free_port
from demo.fleet.prometheus import START_S, Prometheus
from demo.pictures.browser import chromium
from demo.pictures.console import DASHBOARD, console_page


@pytest.fixture
def prometheus(tmp_path):
    running = Prometheus(["127.0.0.1:1"], free_port(), tmp_path)
    (running.consoles / "kvtransfer.html").write_text(console_page(60))
    with running.child:
        running.child.wait_until_up(START_S)
        yield running


def test_no_variable_of_grafana_is_left():
    assert re.findall(r"\$\w+", console_page(60)) == []


def test_a_prometheus_draws_each_panel_without_an_error(prometheus):
    titles = {panel["title"] for panel in json.loads(DASHBOARD.read_text())["panels"]}
    with chromium() as browser:
        page, answers, said = browser.new_page(), [], []
        page.on("response", lambda answer: answers.append((answer.url, answer.status)))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{prometheus.url}/consoles/kvtransfer.html", wait_until="networkidle")
        graphs = page.locator("section")
        shown = [graph.locator("h2").inner_text() for graph in graphs.all()]
        tiles = [tile.split("\n")[0] for tile in page.locator(".tiles > div").all_inner_texts()]
    assert (len(shown), len(tiles)) == (6, 4)
    assert {*shown, *tiles} <= titles
    asked = [status for url, status in answers if "/api/v1/query_range" in url]
    assert len(asked) > len(shown)
    missing = [url for url, status in answers if status != 200]
    assert [url for url in missing if "d3.layout" not in url] == []  # a part of Debian's d3
    assert said == []
