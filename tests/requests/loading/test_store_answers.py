from __future__ import annotations

from concurrent.futures import Future

from kvtransfer.requests.loading.store_answers import NoStore
from tests.requests.engine import TOKENS, Engine


def test_no_store_answers_at_once_that_nothing_is_there():
    store = NoStore()
    store.ask("r", ["a"])
    store.ask_when_known("s", Future())
    for request_id in ("r", "s", "one that never asked"):
        assert store.asked(request_id)
        assert store.answer(request_id) == frozenset()
        assert store.waited_s(request_id) == 0
        store.forget(request_id)
    assert (store.is_waiting, store.found, store.tiers) == (False, {}, ())
    assert (store.take_answer_seconds(), store.take_late()) == ([], 0)
    store.close()


def test_without_a_store_the_chunks_of_host_memory_are_found_by_no_one_who_only_saves():
    engine = Engine(loads=False)
    engine.hold(TOKENS)
    assert engine.match(engine.request("r", TOKENS), 0) == 0
    assert engine.lookup.questions == {}
