"""Two ``vllm serve`` on one store: what the second restores, and what an operator sees of it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import openai
import pytest

from tests.connector.dashboard_queries import MAY_BE_ZERO, alerted, found, shows
from tests.connector.metric_names import NAME, asked, exported, expressions, table
from tests.connector.span_receiver import CALLER, HEADERS
from tests.connector.two_servers import asking, chat, told, two_servers
from tests.stores.redis.servers import until

pytestmark = pytest.mark.vllm

USES_V2 = "Using V2 Model Runner"
WORDS = " ".join(f"the quick brown fox number {i} jumps over the lazy dog" for i in range(40))
OTHERS = " ".join(f"a lazy cat number {i} sleeps beside the brown dog" for i in range(40))
MESSAGES = [
    {"role": "system", "content": WORDS},
    {"role": "user", "content": "and then?"},
]
HITS = "vllm:external_prefix_cache_hits_total"
HOST_TOKENS = "kvtransfer:host_hit_tokens_total"
STORE_TOKENS = "kvtransfer:store_hit_tokens_total"
SPANS = ["kvtransfer.load", "kvtransfer.lookup", "kvtransfer.fetch", "kvtransfer.copy"]


@pytest.fixture(scope="module")
def servers(model, tmp_path_factory):
    yield from two_servers(model, tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def story(servers):
    """What is said and seen while the first is asked and ends, and then the second is asked."""
    seen = SimpleNamespace(first=ask_first(servers.first, servers))
    seen.second = ask_second(servers.second)
    seen.spans = servers.spans.of_caller([*SPANS, "llm_request"])
    seen.shown = set(exported(servers.second.metrics()))
    seen.found = found(servers.prometheus)
    seen.alerted = {name for name in alerted() if servers.prometheus.series(name)}
    servers.second.close()
    seen.second.log = servers.second.log()
    return seen


def ask_first(server, watched):
    """It saves, restores from host memory, and ends."""
    seen = SimpleNamespace(log=server.log, reply=chat(server, MESSAGES, 24))
    seen.hits_at_first = server.metric(HITS)
    seen.unsaved = asking(server, f"Never kept: {WORDS}", save=False)
    seen.saved = [asking(server, words, priority=-5) for words in (OTHERS, f"Read: {OTHERS}")]
    seen.ending = asking(server, f"For a while: {WORDS}", ttl_s=3600)
    until(lambda: len(watched.entries.ending()) * 64 == seen.ending["saved_tokens"], timeout_s=120)
    server.reset()
    seen.again = chat(server, MESSAGES, 24)
    seen.host_tokens = server.metric(HOST_TOKENS)
    # An engine that ends puts what it can within seconds, and drops the rest.
    seen.saved_tokens = server.metric("kvtransfer:saved_tokens_total")
    until(lambda: len(watched.entries.keys()) * 64 >= seen.saved_tokens, timeout_s=120)
    until(lambda: watched.prometheus.growth(HOST_TOKENS, 3600) == seen.host_tokens, timeout_s=120)
    server.close()
    seen.entries = len(watched.entries.keys())
    seen.log = server.log()
    return seen


def ask_second(server):
    """It restores from the store, and from its disk what it has restored before."""
    seen = SimpleNamespace(reply=chat(server, MESSAGES, 24, extra_headers=HEADERS))
    seen.hits, seen.store_tokens = server.metric(HITS), server.metric(STORE_TOKENS)
    moved = [{"role": "system", "content": f"Now read this: {WORDS}"}]
    blending = {"kv_transfer_params": {"kvtransfer": {"blend": True}}}
    seen.blended = told(chat(server, moved, 4, extra_body=blending))["blend"]
    seen.unsaved = asking(server, f"Never kept: {WORDS}")
    seen.unloaded = asking(server, f"Read: {OTHERS}", load=False)
    seen.bounded = asking(server, OTHERS, max_tokens=100)
    with pytest.raises(openai.BadRequestError) as seen.refused:
        asking(server, OTHERS, loads=False)
    until(lambda: restores_from_disk(server), timeout_s=120)
    chat(server, MESSAGES, 24)  # vLLM itself still holds it
    seen.restored_tokens = server.metric(STORE_TOKENS)
    return seen


def restores_from_disk(server):
    """Ask again what was restored: a thread copies it to the disk in the background."""
    server.reset()
    chat(server, MESSAGES, 24)
    return server.metric("kvtransfer:disk_fetched_tokens_total") > 0


def test_a_second_server_restores_what_the_first_has_saved(story):
    first, second = story.first, story.second
    assert [USES_V2 in one.log for one in (first, second)] == [False, True]
    assert first.hits_at_first == 0
    saved_tokens = first.reply.usage.prompt_tokens // 64 * 64
    assert first.entries >= saved_tokens // 64 > 0  # the answer may have filled one more
    texts = {one.choices[0].message.content for one in (first.reply, first.again, second.reply)}
    assert len(texts) == 1
    assert second.hits == second.store_tokens == saved_tokens == first.host_tokens
    (kept,) = re.findall(r"in all: restored .*, saved (\d+) tokens", first.log)
    assert int(kept) >= first.entries * 64 >= first.saved_tokens > 0
    (restored,) = re.findall(r"\[stats.py:\d+\] in all: restored (.*)", second.log)
    loaded = f"{second.restored_tokens:.0f}"
    from_where = f"{loaded} tokens (0 from host memory, {loaded} from disk and store, "
    assert restored.startswith(from_where)


def test_callers_are_told_what_has_come_of_their_wishes(story):
    first, second = story.first, story.second
    assert (first.unsaved["saved_tokens"], first.unsaved["loaded_tokens"]) == (0, 0)
    assert all(each["saved_tokens"] >= 128 for each in first.saved)
    assert first.ending["ttl_s"] == 3600
    assert first.ending["saved_tokens"] > 0
    assert second.blended["reused_tokens"] > second.hits / 2
    assert second.unsaved["loaded_tokens"] == second.unloaded["loaded_tokens"] == 0
    assert (second.bounded["loaded_tokens"], second.bounded["loaded_from"]) == (64, {"remote": 64})
    assert "there is no 'loads'; known are load" in str(second.refused.value)


def test_the_page_has_all_metrics(story):
    assert set(table()) <= story.shown
    assert {name for _, expression in expressions() for name in asked(expression)} <= story.shown


def test_each_query_of_the_dashboard_finds_data(story):
    assert {each: found for each, found in story.found.items() if not shows(each, found)} == {}


def test_what_may_be_at_zero_is_on_the_dashboard():
    assert MAY_BE_ZERO.keys() <= {name for _, each in expressions() for name in NAME.findall(each)}


def test_queries_by_instance_tell_both_servers_apart(story, servers):
    instances = {servers.first.address, servers.second.address}
    by_instance = [each for each in story.found if "instance)" in each]
    assert len(by_instance) >= 2
    for each in by_instance:
        assert {one["metric"]["instance"] for one in story.found[each]} == instances


def test_what_alerts_are_about_is_there(story):
    assert story.alerted == alerted()


def test_a_load_is_in_the_trace_that_its_caller_began(story):
    spans = {span.name: span for span in story.spans}
    assert len(spans) == len(story.spans)
    load, theirs = spans["kvtransfer.load"], spans["llm_request"]
    assert load.parent_id == theirs.parent_id == CALLER
    assert {spans[name].parent_id for name in SPANS[1:]} == {load.span_id}
    assert load.attributes["kvtransfer.loaded_tokens"] == story.second.hits
