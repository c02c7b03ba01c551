"""What isn't the same bytes is never taken for them, and leaves those of others alone."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.entries import Entries
from tests.connector.inputs import connected, prompt
from tests.connector.tiny_model import QWEN3, write_model

pytestmark = pytest.mark.vllm

REQUEST = Request(prompt(600, seed=1))


@pytest.fixture(scope="module")
def filled(v1_engines, model):
    """A store with the chunks of ``REQUEST``, put there by an engine that is gone."""
    with EmbeddedServer(64 << 20) as server:
        with v1_engines.start(connected(model, server.url)) as saving:
            saving.generate(REQUEST)
        with closing(Entries(server.url)) as entries:
            yield server, entries


@pytest.fixture
def unharmed(filled, v1_engines, model, plain):
    """Whatever a test does, the first deployment finds its own entries afterwards."""
    server, entries = filled
    before = entries.keys()
    yield server
    assert set(before) <= set(entries.keys())
    with v1_engines.start(connected(model, server.url)) as engine:
        outcome = engine.generate(REQUEST)
    assert outcome.external_tokens == 576
    assert outcome.answers == plain.generate(REQUEST).answers


def computed(v1_engines, setup, request=REQUEST):
    """The answers of an engine that has found nothing, and of vLLM without connector."""
    with v1_engines.start(setup) as engine:
        outcome = engine.generate(request)
    assert (outcome.external_tokens, outcome.cached_tokens) == (0, [0])
    with v1_engines.start(replace(setup, transfer=None)) as engine:
        return outcome.answers, engine.generate(request).answers


def test_another_dtype(v1_engines, model, unharmed):
    setup = connected(model, unharmed.url, options={"dtype": "float16"})
    ours, right = computed(v1_engines, setup)
    assert ours == right


def test_other_weights_in_a_folder_of_the_same_name(v1_engines, unharmed, plain, tmp_path):
    other = str(write_model(tmp_path / "tiny", seed=1))
    ours, right = computed(v1_engines, connected(other, unharmed.url))
    assert ours == right
    assert ours != plain.generate(REQUEST).answers


def test_the_same_weights_read_with_another_configuration(v1_engines, unharmed, plain, tmp_path):
    other = str(write_model(tmp_path / "tiny", {**QWEN3, "rope_theta": 100.0}))
    ours, right = computed(v1_engines, connected(other, unharmed.url))
    assert ours == right
    assert ours != plain.generate(REQUEST).answers


@pytest.mark.parametrize("settings", [{"chunk_size": 128}, {"namespace": "tenant-7"}])
def test_another_setting(v1_engines, model, unharmed, plain, settings):
    with v1_engines.start(connected(model, unharmed.url, **settings)) as engine:
        outcome = engine.generate(REQUEST)
    assert outcome.external_tokens == 0
    assert outcome.answers == plain.generate(REQUEST).answers


def test_another_cache_salt(v1_engines, model, unharmed, plain):
    with v1_engines.start(connected(model, unharmed.url)) as engine:
        outcomes = [
            engine.generate(replace(REQUEST, cache_salt=salt)) for salt in ("mine", "yours")
        ]
    assert [outcome.external_tokens for outcome in outcomes] == [0, 0]
    right = plain.generate(REQUEST).answers
    assert [outcome.answers for outcome in outcomes] == [right, right]


def test_the_same_cache_salt_is_a_hit(v1_engines, model, unharmed, plain):
    salted = Request(prompt(300, seed=2), cache_salt="ours")
    setup = connected(model, unharmed.url)
    for external_tokens in (0, 256):
        with v1_engines.start(setup) as engine:
            outcome = engine.generate(salted)
        assert outcome.external_tokens == external_tokens
        assert outcome.answers == plain.generate(salted).answers


def test_a_copy_of_the_model_elsewhere_is_a_hit(v1_engines, unharmed, plain, tmp_path):
    copy = str(write_model(tmp_path / "tiny"))
    with v1_engines.start(connected(copy, unharmed.url)) as engine:
        outcome = engine.generate(REQUEST)
    assert outcome.external_tokens == 576
    assert outcome.answers == plain.generate(REQUEST).answers


def test_a_consumer_saves_nothing(v1_engines, model, filled, plain):
    server, entries = filled
    before, fresh = entries.keys(), Request(prompt(300, seed=3))
    with v1_engines.start(connected(model, server.url, role="kv_consumer")) as engine:
        outcome = engine.generate(REQUEST)
        other = engine.generate(fresh)
    assert (outcome.external_tokens, other.external_tokens) == (576, 0)
    assert outcome.answers + other.answers == [
        *plain.generate(REQUEST).answers,
        *plain.generate(fresh).answers,
    ]
    assert entries.keys() == before


def test_a_producer_loads_nothing(v1_engines, model, filled, plain):
    server, entries = filled
    before, fresh = len(entries.keys()), Request(prompt(300, seed=4))
    with v1_engines.start(connected(model, server.url, role="kv_producer")) as engine:
        outcome = engine.generate(REQUEST)
        engine.generate(fresh)
    assert (outcome.external_tokens, outcome.cached_tokens) == (0, [0])
    assert outcome.answers == plain.generate(REQUEST).answers
    assert len(entries.keys()) == before + 4
