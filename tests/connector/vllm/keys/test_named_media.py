"""Chunks with media are saved only while the media's names stand for one content each."""

from __future__ import annotations

from types import SimpleNamespace

from kvtransfer.chunks.keys import KeyChain, namespace
from kvtransfer.connector.vllm.keys.adapters import Adapters
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.connector.vllm.keys.naming import Naming
from tests.requests.engine import CHUNK, Engine


class KeyBuilder:
    def chain(self, request, weights, adapter, media):
        return KeyChain(CHUNK, namespace=namespace({"weights": weights}))


def naming(weights):
    media = Media(trust_uuids=False, can_see=True)
    return Naming(KeyBuilder(), weights, Adapters(ranks=1), media)


def request(engine, name, medium):
    """One of 16 tokens, as far as vLLM's connector reads it."""
    return engine.request(
        name,
        range(16),
        prompt_embeds=None,
        skip_reading_prefix_cache=False,
        lora_request=None,
        mm_features=[medium],
    )


def image(content, name):
    """One whose data are the number ``content``; a caller has named it."""
    data = Data(content)
    place = SimpleNamespace(offset=0, length=2, is_embed=None)
    return SimpleNamespace(data=data, identifier=name, mm_hash=name, mm_position=place)


class Data:
    def __init__(self, content):
        self.content = content

    def get_data(self):
        return {"content": self.content}


def test_a_medium_whose_name_turns_out_to_stand_for_two_is_not_saved():
    """The first may be computed with what vLLM keeps of the second, if that runs first."""
    engine = Engine(request_keys=naming)
    first, second = (
        request(engine, name, image(content, "x"))
        for content, name in enumerate(("first", "second"))
    )
    for asked in (first, second):
        while (found := engine.match(asked, 0)) is None:
            pass
        assert found == 0
    ids = engine.blocks(16)
    engine.admit(first, ids, 0)
    assert not engine.step(new=[(first, ids, 0, 16)]).jobs.saves
    engine.side.close()


def test_a_medium_under_a_name_of_its_own_is_saved():
    engine = Engine(request_keys=naming)
    asked = request(engine, "only", image(1, "x"))
    while engine.match(asked, 0) is None:
        pass
    ids = engine.blocks(16)
    engine.admit(asked, ids, 0)
    assert len(engine.step(new=[(asked, ids, 0, 16)]).jobs.saves) == 2
    engine.side.close()
