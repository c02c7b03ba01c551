"""Other versions of vLLM than the installed one, on both model runners, share a store with it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.engines import EngineError, Engines
from tests.connector.inputs import NGRAM, connected, prompt
from tests.connector.span_receiver import HEADERS, SOON, SpanReceiver
from tests.connector.vllm_variants import OTHER_VERSIONS, V1, V2

pytestmark = [pytest.mark.vllm, pytest.mark.cpu]

OURS = Request(prompt(600, seed=1))
THEIRS = Request(prompt(640, seed=2), answer_tokens=70)


@pytest.fixture(scope="module")
def filled(v1_engines, model):
    """A store with the chunks of ``OURS``, put there by the installed vLLM."""
    with EmbeddedServer(64 << 20) as server:
        with v1_engines.start(connected(model, server.url)) as saving:
            saving.generate(OURS)
        yield server


@pytest.fixture(scope="module", params=OTHER_VERSIONS, ids=lambda folder: folder.name)
def version(request):
    return request.param


@pytest.fixture(scope="module", params=[V1, V2], ids=lambda variant: variant.name)
def others(request, version, tmp_path_factory):
    variant = request.param.of(version)
    with closing(Engines(tmp_path_factory.mktemp(variant.name), variant)) as running:
        yield running


def test_what_one_version_has_saved_another_restores(filled, others, version, model, plain):
    setup = connected(model, filled.url)
    theirs_alone = replace(THEIRS, cache_salt=others.variant.name)
    with others.start(setup) as engine:
        assert engine.version() == version.name.removeprefix("vllm-")
        assert others.variant.runner in engine.runner()
        ours, theirs = engine.generate(OURS), engine.generate(theirs_alone)
    with others.start(setup) as restoring:
        again = restoring.generate(theirs_alone)
    assert (ours.external_tokens, theirs.external_tokens, again.external_tokens) == (576, 0, 640)
    assert ours.answers == plain.generate(OURS).answers
    assert theirs.answers == again.answers == plain.generate(THEIRS).answers


@pytest.mark.parametrize("others", [V1], indirect=True, ids=lambda variant: variant.name)
def test_a_trace_shows_its_load(filled, others, model):
    with closing(SpanReceiver()) as receiver:
        tracing = {"otlp_traces_endpoint": receiver.endpoint}
        with others.start(connected(model, filled.url, options=tracing), SOON) as engine:
            engine.generate(replace(OURS, trace_headers=HEADERS))
            spans = receiver.of_caller(["kvtransfer.load", "kvtransfer.copy", "llm_request"])
    loaded = [it.attributes.get("kvtransfer.loaded_tokens") for it in spans]
    assert 576 in loaded


@pytest.mark.parametrize("others", [V1], indirect=True, ids=lambda variant: variant.name)
def test_a_typo_is_refused_before_the_model_is_loaded(others, model):
    with pytest.raises(EngineError, match="did you mean chunk_size") as refused:
        others.start(connected(model, None, chunksize=64))
    assert "Starting to load model" not in refused.value.log


@pytest.mark.parametrize("version", OTHER_VERSIONS[-1:], indirect=True, ids=lambda it: it.name)
@pytest.mark.parametrize("others", [V2], indirect=True, ids=lambda variant: variant.name)
def test_a_step_that_drafts_saves_too(others, server, model, plain):
    """On Model Runner V2 of 0.33 such a step reports before it saves."""
    setup = connected(model, server.url, options=NGRAM)
    with others.start(setup) as engine:
        saved = engine.generate(THEIRS)
        assert engine.metric("vllm:spec_decode_num_draft_tokens") > 0
        assert engine.reset(), "blocks were lost"
        again = engine.generate(THEIRS)
    assert (saved.external_tokens, again.external_tokens) == (0, 640)
    assert saved.answers == again.answers == plain.generate(THEIRS).answers
