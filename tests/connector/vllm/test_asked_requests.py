"""vLLM's requests are read once, and their callers told what has come of them."""

from __future__ import annotations

from types import SimpleNamespace

from kvtransfer.connector.vllm.asked_requests import AskedRequests
from kvtransfer.connector.vllm.blend.wishes import RequestWishes
from kvtransfer.requests.blending.outcome import Outcome
from kvtransfer.requests.control import Control
from kvtransfer.requests.served import Served

SERVED = Served({"host": 64, "remote": 128}, has_failed=False, saved_tokens=256, blended=None)
TOLD = {
    "loaded_tokens": 192,
    "loaded_from": {"host": 64, "remote": 128},
    "load_failed": False,
    "saved_tokens": 256,
}


def request(params, name="r"):
    return SimpleNamespace(
        request_id=name,
        kv_transfer_params=params,
        num_prompt_tokens=100,
        lora_request=None,
        mm_features=(),
        prompt_embeds=None,
        resumable=False,
        skip_reading_prefix_cache=False,
    )


def said(**params):
    return request({"kvtransfer": params})


def test_one_that_says_nothing_is_told_nothing():
    for params in (None, {}, {"kvtransfer": None}, {"someone": "else"}):
        asked = AskedRequests()
        assert asked.of(request(params)) == Control()
        assert asked.end(request(params), SERVED, None) is None


def test_one_that_says_anything_is_told_what_has_come_of_it():
    asked = AskedRequests()
    assert asked.of(said(load=False)) == Control(loads=False)
    assert asked.end(said(load=False), SERVED, None) == {"kvtransfer": TOLD}
    assert asked.end(said(), SERVED, None) == {"kvtransfer": TOLD}


def test_one_that_asks_for_a_life_is_told_which_one_holds():
    for setting, told_s in ((None, 60), (100, 60), (50, 50)):
        asked = AskedRequests(setting)
        assert asked.end(said(ttl_s=60), SERVED, None) == {"kvtransfer": TOLD | {"ttl_s": told_s}}


def test_a_failed_load_brought_nothing():
    failed = Served({"remote": 128}, has_failed=True, saved_tokens=0, blended=None)
    told = AskedRequests().end(said(), failed, None)["kvtransfer"]
    assert (told["loaded_tokens"], told["loaded_from"], told["load_failed"]) == (0, {}, True)


def test_what_cannot_be_read_is_as_if_nothing_was_said_and_told_once_a_minute(caplog):
    asked = AskedRequests()
    for name in ("a", "b"):
        wrong = request({"kvtransfer": {"load": "no\n"}}, name)
        assert asked.of(wrong) == Control()
        told = asked.end(wrong, SERVED, None)["kvtransfer"]
        assert "['load'] is" in told["refused"]
        assert "\n" not in told["refused"]
    assert len(caplog.records) == 1
    assert "served as if it had said nothing" in caplog.text


def test_passages_are_told_beside_it():
    wishes = RequestWishes("opt_in", None)
    assert wishes.end(said(blend=True), SERVED)["kvtransfer"] == {
        "blend": vars(Outcome()),
        **TOLD,
    }
    refused = wishes.end(said(blend=True, segments=[[0, 5000]]), SERVED)["kvtransfer"]
    assert "100 tokens" in refused["blend"]["refused"]
    assert wishes.end(said(max_tokens=5), SERVED) == {"kvtransfer": TOLD}


def test_no_passages_where_the_request_limits_what_is_loaded():
    for params in ({"load": False}, {"max_tokens": 64}):
        wishes = RequestWishes("all", None)
        assert wishes.of(SimpleNamespace(request=said(**params))) is None
        assert "blend" not in wishes.end(said(**params), SERVED)["kvtransfer"]
    assert RequestWishes("all", None).of(SimpleNamespace(request=said())) is not None
