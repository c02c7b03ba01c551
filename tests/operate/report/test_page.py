from html.parser import HTMLParser

import pytest

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.report.page import Contents, page
from kvtransfer.operate.report.totals import totals_of
from kvtransfer.operate.usage import summed
from tests.operate.entries import entry

NOW_S = 1_800_000_000
SAMPLES = {
    "vllm:prompt_tokens_total": 1000.0,
    "vllm:prefix_cache_hits_total": 100.0,
    "kvtransfer:host_hit_tokens_total": 200.0,
    "kvtransfer:store_hit_tokens_total": 300.0,
    "kvtransfer:predicted_prefill_seconds_total": 50.0,
    "kvtransfer:load_seconds_sum": 8.0,
    "kvtransfer:put_failed_chunks_total": 2.0,
}


class Seen(HTMLParser):
    """Texts, tags, and what the page would fetch."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.fetched = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def contents(**changes):
    entries = [entry(n, nbytes=1 << 20, created_s=NOW_S - 7200 * n) for n in range(4)]
    given = {
        "address": "redis://:***@host:6379/0",
        "now_s": NOW_S,
        "groups": summed(entries, ["model", "codec", "dtype"], NOW_S),
        "ages": summed(entries, ["age"], NOW_S),
        "instances": [totals_of("host:8000", SAMPLES)],
        "silent": [],
        "findings": [Finding(Level.BROKEN, "x", "it is broken", "mend it")],
    }
    return Contents(**(given | changes))


def test_what_people_want_to_know_is_there():
    seen = Seen(page(contents()))
    for text in ("4 MiB", "60%", "42 s", "it is broken", "mend it", "org/model", "host:8000"):
        assert text in seen.text, text


def test_the_page_needs_nothing_from_elsewhere():
    html = page(contents())
    seen = Seen(html)
    assert seen.fetched == []
    assert "script" not in seen.tags
    assert "http" not in html.replace("http-equiv", "")


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x>'])
def test_texts_from_outside_are_escaped(hostile):
    entries = [entry(model=hostile)]
    html = page(
        contents(
            groups=summed(entries, ["model", "codec", "dtype"], NOW_S),
            instances=[totals_of(hostile, SAMPLES)],
            silent=[hostile],
            findings=[Finding(Level.COSTLY, "x", hostile, hostile)],
        )
    )
    seen = Seen(html)
    assert not {"script", "img"} & set(seen.tags)
    assert seen.text.count(hostile) == 5


def test_nothing_at_all_is_a_page_too():
    seen = Seen(page(contents(groups={}, ages={}, instances=[], findings=[])))
    for text in ("no entry of ours", "No instance was named", "Nothing was found"):
        assert text in seen.text


def test_sums_of_an_instance():
    totals = totals_of("host:8000", SAMPLES)
    assert (totals.computed_tokens, totals.reused_share) == (400, 0.6)
    assert (totals.saved_s, totals.lost_chunks) == (42, 2)
    assert totals_of("idle", {}).reused_share == 0
