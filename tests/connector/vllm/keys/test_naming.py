"""Which requests get keys, and which of them the same, with vLLM's own requests and media."""

from __future__ import annotations

import time
from contextlib import closing
from types import SimpleNamespace

import pytest
import torch
from vllm import SamplingParams
from vllm.lora.request import LoRARequest
from vllm.multimodal.inputs import (
    MultiModalBatchedField,
    MultiModalFeatureSpec,
    MultiModalFieldElem,
    MultiModalKwargsItem,
    PlaceholderRange,
)
from vllm.v1.request import Request

from kvtransfer.chunks.keys import KeyChain, namespace
from kvtransfer.connector.vllm.keys.adapters import Adapters, is_mixed
from kvtransfer.connector.vllm.keys.key_builder import media_extras
from kvtransfer.connector.vllm.keys.media import Media
from kvtransfer.connector.vllm.keys.naming import Naming
from kvtransfer.plan import Save
from kvtransfer.requests.keys.adapter import Held
from kvtransfer.requests.keys.agreed_weights import AgreedWeights
from kvtransfer.requests.keys.weights import Holding
from kvtransfer.requests.request_state import RequestState

CHUNK = 4


class KeyBuilder:
    def chain(self, request, weights, adapter, media):
        space = namespace({"weights": weights, "lora": adapter})
        return KeyChain(CHUNK, namespace=space, extras=media_extras(media, CHUNK))


class Engine:
    """One process: what it has seen decides whom it trusts."""

    def __init__(self, **media):
        self.adapters = Adapters(ranks=1)
        self.media = Media(**{"trust_uuids": False, "can_see": True, **media})
        weights = AgreedWeights(ranks=1)
        weights.take({0: Holding("held", checked_in=0)})
        self.naming = Naming(KeyBuilder(), weights, self.adapters, self.media)

    def track(self, request):
        state = RequestState(request)
        self.naming.begin(state)
        return state

    def name(self, state):
        deadline_s = time.monotonic() + 60
        while not state.is_named and time.monotonic() < deadline_s:
            list(self.naming.take())
        assert state.is_named
        return state

    def keys(self, *media, **more):
        """Of a request with ``media``; none: it is not cached."""
        return self.name(self.track(request(*media, **more))).keys

    def close(self):
        self.media.close()


@pytest.fixture
def engine():
    with closing(Engine()) as made:
        yield made


@pytest.fixture
def other():
    """Another process, perhaps on another machine."""
    with closing(Engine()) as made:
        yield made


def request(*media, **more):
    made = {"request_id": "r", "prompt_token_ids": list(range(12)), "pooling_params": None, **more}
    parameters = SamplingParams(max_tokens=4, **made.pop("sampling", {}))
    return Request(sampling_params=parameters, mm_features=list(media), **made)


def image(seed, uuid, offset=1, mask=None, mm_hash=None):
    data = torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))
    elements = {"image_embeds": MultiModalFieldElem(data=data, field=MultiModalBatchedField())}
    return MultiModalFeatureSpec(
        data=None if seed < 0 else MultiModalKwargsItem(elements),
        modality="image",
        identifier=uuid,
        mm_position=PlaceholderRange(offset=offset, length=2, is_embed=mask),
        mm_hash=uuid if mm_hash is None else mm_hash,
    )


def test_who_chooses_a_uuid_plants_nothing(engine, other):
    assert engine.keys(image(1, "mine")) != other.keys(image(2, "mine"))


def test_nor_who_names_one_by_the_hash_that_vllm_gives_another(engine, other):
    hashed = "f" * 64
    assert engine.keys(image(1, hashed)) != other.keys(image(2, hashed))


def test_equal_content_is_shared_whatever_its_name(engine, other):
    found = engine.keys(image(1, "mine"))
    assert found == other.keys(image(1, "yours")) == engine.keys(image(1, "mine"))
    assert len(found) == 3


def test_a_name_for_two_contents_is_not_cached(engine):
    """vLLM's encoder and prefix caches may hold either under it."""
    assert engine.keys(image(1, "x"))
    assert engine.keys(image(2, "x")) == []
    assert engine.keys(image(1, "x")) == []
    assert engine.keys(image(1, "y"))


def test_where_it_lies_and_what_of_it_is_used_is_in_the_key(engine):
    mask = torch.tensor([True, False])
    found = [
        engine.keys(image(1, "a")),
        engine.keys(image(1, "a", offset=2)),
        engine.keys(image(1, "b", mask=mask)),
    ]
    assert len(set(map(str, found))) == 3


def test_media_without_data_at_hand_are_not_cached(engine):
    assert engine.keys(image(-1, "x")) == []
    assert engine.keys(image(1, "x")) == []
    with closing(Engine(can_see=False)) as blind:
        assert blind.keys(image(1, "y")) == []
        assert len(blind.keys()) == 3


def test_names_that_are_trusted_are_the_contents():
    with closing(Engine(trust_uuids=True)) as trusting:
        assert trusting.keys(image(1, "x")) == trusting.keys(image(2, "x")) != []
        assert trusting.keys(image(1, "x")) != trusting.keys(image(1, "y"))


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_embeds": torch.zeros(12, 8)},
        {"sampling": {"prompt_logprobs": 1}},
        {"sampling": {"skip_reading_prefix_cache": True}},
    ],
)
def test_a_request_whose_tokens_do_not_tell_its_bytes_has_no_keys(engine, more):
    assert engine.keys(image(1, "x"), **more) == []
    assert len(engine.keys(image(1, "x"))) == 3
    assert engine.keys(image(2, "y"), **more) == []
    assert engine.keys(image(1, "y")) == []


def test_media_that_join_a_session_end_its_caching_and_are_not_trusted(engine):
    session = engine.name(engine.track(request(resumable=True)))
    assert list(engine.naming.take_continued()) == []
    session.request.mm_features.append(image(2, "x", offset=13))
    assert list(engine.naming.take_continued()) == [session]
    assert list(engine.naming.take_continued()) == []
    assert engine.keys(image(1, "x")) == []  # the encoder's cache may hold the session's


def test_what_a_session_takes_back_has_no_keys(engine):
    session = engine.name(engine.track(request(resumable=True)))
    session.request.append_output_token_ids([7, 7, 7, 7])
    assert len(session.keys) == 3  # of the answer nothing is computed yet
    session.computed_tokens = session.request.num_computed_tokens = 16
    assert len(session.keys) == 4
    session.request.num_computed_tokens = 12
    assert list(engine.naming.take_continued()) == [session]


def adapted(engine, held, number=1, **more):
    lora = LoRARequest("style", number, "/a", **more)
    state = engine.track(request(lora_request=lora))
    step = engine.adapters.plan([], [])
    for ticket, _ in step.questions if step else ():
        engine.adapters.take({ticket: [held]})
    return engine.name(state)


def test_an_adapter_is_what_it_holds(engine, other):
    steady = Held("digest", 0, is_steady=True)
    found = adapted(engine, steady).keys
    assert found == adapted(other, steady, number=5).keys
    assert found != adapted(engine, Held("another", 0, is_steady=True)).keys
    assert found != engine.keys()
    assert adapted(engine, None).keys == []
    assert adapted(engine, steady, load_inplace=True).keys == []


def test_a_request_waits_for_the_answer_to_its_own_question(engine):
    lora = LoRARequest("style", 1, "/a")
    first, second = (
        engine.track(request(request_id=name, lora_request=lora)) for name in ("r1", "r2")
    )
    (one, _), (two, _) = engine.adapters.plan([], []).questions
    engine.adapters.take({one: [Held("old", 0, is_steady=True)]})
    assert list(engine.naming.take()) == [first]
    engine.adapters.take({two: [Held("new", 1, is_steady=False)]})
    assert list(engine.naming.take()) == [second]
    assert first.keys != second.keys
    assert not is_mixed(second)
    second.local_tokens = 4
    assert is_mixed(second)


def test_jobs_are_bound_to_what_the_adapter_held(engine):
    state = adapted(engine, Held("digest", 3, is_steady=True))
    state.block_ids = [1]
    jobs = [(Save(9, "a", 0, ()), state), (Save(10, "b", 1, ()), SimpleNamespace(adapter=None))]
    step = engine.adapters.plan(jobs, [state])
    assert (step.questions, step.bound, step.in_use) == ((), {9: (1, 3)}, {1})


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([Held("a", 0, True), Held("a", 0, True)], ("a", True)),
        ([Held("b", 0, True), Held("a", 0, False)], ("a+b", False)),
        ([Held("a", 0, True), Held("a", 1, True)], None),
        ([Held("a", 0, True), None], None),
        ([Held("a", 0, True)], None),
    ],
)
def test_ranks_agree_or_it_is_not_cached(answers, expected):
    adapters = Adapters(ranks=2)
    state = RequestState(request(lora_request=LoRARequest("style", 1, "/a")))
    adapters.ask(state)
    adapters.take({0: answers})
    held = state.adapter.held
    assert state.adapter.is_known
    assert (None if held is None else (held.digest, held.is_steady)) == expected
