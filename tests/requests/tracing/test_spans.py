from __future__ import annotations

import re
from pathlib import Path

from kvtransfer.plan import LoadTimes, Took
from kvtransfer.requests.tracing.load_record import (
    LOAD_FAILED,
    REQUEST_ENDED,
    SLOWER,
    LoadRecord,
    LookedUp,
)
from kvtransfer.requests.tracing.spans import ATTRIBUTES, SPANS, load_span
from kvtransfer.scheduling.cost.runs import Run

PAGE = Path(__file__).parents[3] / "docs" / "tracing.md"
RUNS = (Run("host", 16), Run("remote", 24))


def loaded(**more):
    """Of 48 tokens that were found, 40 are loaded, by five jobs; the last two are fetched."""
    times = {
        3: LoadTimes(copy=Took(12.0, 12.5, 100)),
        4: LoadTimes(Took(12.0, 12.6, 70), Took(12.6, 12.8, 100)),
        5: LoadTimes(Took(12.2, 13.0, 70), Took(13.0, 13.1, 100)),
    }
    facts = {
        "lookup": LookedUp(10.0, 11.0, (*RUNS, Run("remote", 8)), 40, local_tokens=8),
        "began_s": 11.5,
        "ended_s": 14.0,
        "runs": RUNS,
        "tiers": {3: "host", 4: "remote", 5: "remote"},
        "times": times,
    }
    return load_span(LoadRecord("r", "lossless", **{**facts, **more}))


def times(span):
    return span.name, span.began_s, span.ended_s


def test_the_parts_of_a_load_are_inside_it():
    load = loaded()
    assert times(load) == ("kvtransfer.load", 10.0, 14.0)
    assert [times(child) for child in load.children] == [
        ("kvtransfer.lookup", 10.0, 11.0),
        ("kvtransfer.fetch", 12.0, 13.0),
        ("kvtransfer.copy", 12.0, 13.1),
    ]
    assert load.failure is None


def test_attributes_say_what_came_from_where_and_what_did_not():
    load = loaded()
    assert load.attributes == {
        "kvtransfer.request_id": "r",
        "kvtransfer.codec": "lossless",
        "kvtransfer.local_tokens": 8,
        "kvtransfer.loaded_tokens": 40,
        "kvtransfer.loaded_tokens.host": 16,
        "kvtransfer.loaded_tokens.remote": 24,
        "kvtransfer.given_up_tokens": 8,
        "kvtransfer.given_up_reason": SLOWER,
    }
    lookup, fetch, copy = (child.attributes for child in load.children)
    assert lookup == {
        "kvtransfer.matched_tokens": 48,
        "kvtransfer.matched_tokens.host": 16,
        "kvtransfer.matched_tokens.remote": 32,
    }
    assert fetch == {
        "kvtransfer.chunks": 2,
        "kvtransfer.chunks.remote": 2,
        "kvtransfer.bytes": 140,
    }
    assert copy == {"kvtransfer.chunks": 3, "kvtransfer.bytes": 300}


def test_what_is_used_of_a_load_that_failed_is_its_beginning():
    load = loaded(failure=LOAD_FAILED, used_tokens=20)
    assert load.failure == load.attributes["kvtransfer.given_up_reason"] == LOAD_FAILED
    assert load.attributes["kvtransfer.loaded_tokens.host"] == 16
    assert load.attributes["kvtransfer.loaded_tokens.remote"] == 4
    assert load.attributes["kvtransfer.given_up_tokens"] == 28


def test_clocks_of_other_machines_leave_the_parts_inside():
    wrong = {3: LoadTimes(Took(2.0, 3.0, 1), Took(50.0, 60.0, 1))}
    _, fetch, copy = loaded(times=wrong).children
    assert times(fetch)[1:] == (11.5, 11.5)
    assert times(copy)[1:] == (14.0, 14.0)


def test_without_a_load_there_is_a_lookup_and_without_that_nothing():
    nothing = LookedUp(10.0, 11.0, (), 0, local_tokens=0)
    (lookup,) = loaded(lookup=nothing, began_s=None, runs=(), times={}).children
    assert lookup.attributes == {"kvtransfer.matched_tokens": 0}
    assert loaded(lookup=None) is None


def test_a_request_that_ends_before_its_load_gives_up_what_it_wanted():
    ended = loaded(began_s=None, runs=(), times={}, failure=REQUEST_ENDED, used_tokens=0)
    assert ended.attributes["kvtransfer.loaded_tokens"] == 0
    assert ended.attributes["kvtransfer.given_up_tokens"] == 48


def test_the_page_has_all_spans_and_attributes():
    rows = dict(re.findall(r"^\| `(kvtransfer\.[\w.]+)` \| (.+) \|$", PAGE.read_text(), re.M))
    assert rows == {**SPANS, **ATTRIBUTES}
    used = {name for span in (loaded(), *loaded().children) for name in span.attributes}
    assert {re.sub(r"\.(host|disk|remote)$", ".TIER", name) for name in used} <= set(ATTRIBUTES)
