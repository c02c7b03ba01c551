"""The report as a browser shows it: on a desk, on a phone, in the dark and on paper."""

from __future__ import annotations

import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from axe_playwright_python.sync_playwright import Axe

from demo.pictures.browser import chromium
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_entries
from tests.operate.entries import FACTS, key_of

METRICS = """\
# TYPE vllm:prompt_tokens counter
vllm:prompt_tokens_total{engine="0"} 120000
# TYPE vllm:prefix_cache_hits counter
vllm:prefix_cache_hits_total{engine="0"} 12000
# TYPE kvtransfer:host_hit_tokens counter
kvtransfer:host_hit_tokens_total{engine="0"} 24000
# TYPE kvtransfer:store_hit_tokens counter
kvtransfer:store_hit_tokens_total{engine="0"} 54000
# TYPE kvtransfer:predicted_prefill_seconds counter
kvtransfer:predicted_prefill_seconds_total{engine="0"} 3214.6
# TYPE kvtransfer:put_failed_chunks counter
kvtransfer:put_failed_chunks_total{engine="0"} 7
"""
HOSTILE = "<img src=https://203.0.113.1/x onerror=console.error(1)>&" + "long-name/" * 20
WIDTHS = (390, 1280)


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture
def instance():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.encode())

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


class Opened:
    """The page in a browser, with what it asked of others and what it complained about."""

    def __init__(self, browser, path, width, scheme="light"):
        self.page = browser.new_page(
            viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
        )
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(path.as_uri())
        self.elsewhere = [url for url in self.asked if not url.startswith("file:")]

    def table(self, heading):
        """The rows of the table below ``heading``, as texts by column."""
        rows = self.page.locator(f"h2:text-is('{heading}') + table tbody tr")
        titles = self.page.locator(f"h2:text-is('{heading}') + table th").all_text_contents()
        return [
            dict(zip(titles, row.locator("td").all_text_contents(), strict=True))
            for row in rows.all()
        ]


def opened(browser, path, scheme="light"):
    return [Opened(browser, path, width, scheme) for width in WIDTHS]


@pytest.fixture(params=["filled", "empty", "hostile"])
def written(request, run, instance, tmp_path):
    """A report of a store with entries, of one without, and of one that others have written to."""
    path, url = tmp_path / "report.html", f"disk://{tmp_path}/chunks"
    models = {"filled": ["org/model"], "empty": [], "hostile": [HOSTILE]}[request.param]
    with closing(open_entries(url, StoreSettings())) as store:
        for number, model in enumerate(models):
            assert store.put(key_of(number, model), memoryview(b"payload"), FACTS)
    named = ["--instance", instance] if models else []
    assert run("report", url, *named, "--output", path).status == 0
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_asks_for_nothing_and_can_be_read(browser, written, scheme):
    for each in opened(browser, written, scheme):
        assert (each.elsewhere, each.said) == ([], [])
        size = each.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] == size[1]
        found = Axe().run(each.page).response  # contrast, headings, names of things, landmarks
        assert [rule["help"] for rule in found["violations"]] == []
        assert "color-contrast" in [rule["id"] for rule in found["passes"]]


def test_the_figures_are_those_of_the_store_and_of_the_metrics(
    browser, run, filled, instance, tmp_path
):
    path = tmp_path / "report.html"
    run("report", filled.url, "--instance", instance, "--instance", "127.0.0.1:1", "--output", path)
    rows = run("du", filled.url, "--json").objects
    for each in opened(browser, path):
        tiles = each.page.locator(".tile").all_inner_texts()
        assert tiles[0].split("\n") == ["120 KiB", "stored in 12 entries"]
        assert [tile.split("\n")[0] for tile in tiles[1:3]] == ["75%", "3,215 s"]
        (user,) = each.table("Who uses it")
        assert user["instance"] == instance
        assert (user["in all"], user["chunks lost"]) == ("120,000", "7")
        widths = each.page.locator("h2:text-is('Who uses it') + table .bar i").evaluate_all(
            "parts => parts.map(it => it.clientWidth / it.parentElement.clientWidth)"
        )
        assert widths == pytest.approx([0.1, 0.2, 0.45], abs=0.02)
        shown = {row["model"]: row["entries"] for row in each.table("What is cached")}
        assert shown == {row["model"]: str(row["entries"]) for row in rows if "codec" in row}
        assert each.page.get_by_text("No answer: 127.0.0.1:1: Connection refused").is_visible()


def test_a_hostile_name_is_text(browser, run, tmp_path):
    path, url = tmp_path / "report.html", f"disk://{tmp_path}/chunks"
    with closing(open_entries(url, StoreSettings())) as store:
        assert store.put(key_of(1, HOSTILE), memoryview(b"payload"), FACTS)
    run("report", url, "--output", path)
    for each in opened(browser, path):
        assert each.page.locator("img").count() == 0
        (row,) = each.table("What is cached")
        assert row["model"] == HOSTILE
        texts = each.page.locator("td[data-name=codec], td[data-name=dtype]").all()
        # Short words beside it are not broken into letters.
        lines = (
            "cell => { const all = document.createRange(); all.selectNodeContents(cell);"
            " return all.getClientRects().length }"
        )
        assert [cell.evaluate(lines) for cell in texts] == [1, 1]


def test_a_phone_shows_what_each_figure_is(browser, run, filled, tmp_path):
    path = tmp_path / "report.html"
    run("report", filled.url, "--output", path)
    phone, desk = opened(browser, path)
    named = "cell => getComputedStyle(cell, '::before').content"
    cell = "h2:text-is('What is cached') + table td >> nth=0"
    assert phone.page.locator(cell).evaluate(named) == '"model"'
    assert desk.page.locator(cell).evaluate(named) == "none"


def test_paper_is_white_and_keeps_the_bars(browser, run, filled, tmp_path):
    path = tmp_path / "report.html"
    run("report", filled.url, "--output", path)
    page = Opened(browser, path, 1280, "dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) != "rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).printColorAdjust") == "exact"
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1
