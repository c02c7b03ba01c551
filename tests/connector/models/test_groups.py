"""Models with several groups of caches are restored by another process, whatever they keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Outcome, Request
from tests.connector.engines import start_together
from tests.connector.inputs import CHUNK_TOKENS, prompt
from tests.connector.models.alike import assert_alike
from tests.connector.models.kinds import GEMMA3, GRANITE4, KINDS
from tests.connector.models.tiny import TinyModel
from tests.connector.vllm_variants import V1, V2

if TYPE_CHECKING:
    from tests.connector.models.groups import Caches
    from tests.connector.models.kinds import Kind

ON_BOTH_RUNNERS = (GEMMA3, GRANITE4)
CASES = [*((V1, kind) for kind in KINDS), *((V2, kind) for kind in ON_BOTH_RUNNERS)]

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.parametrize(
        ("engines", "kind"),
        [pytest.param(*case, id="-".join(each.name for each in case)) for case in CASES],
        indirect=True,
    ),
]

ANSWER_TOKENS = 16
MIB = 1 << 20


@dataclass(frozen=True)
class Runs:
    """What three engines have answered: plain vLLM, one that saves, and a new one that restores."""

    kind: Kind
    restored_tokens: int
    """The whole chunks of each prompt, of which two tokens are left."""
    caches: tuple[Caches, Caches]
    """Plain vLLM's and the saving engine's."""
    logs: str
    """Of both engines with the connector."""
    long: tuple[Outcome, Outcome, Outcome]
    talk: tuple[Outcome, Outcome]
    """Plain vLLM's and the saving engine's: its answer ends the last chunk."""
    turn: tuple[Outcome, Outcome]
    """Plain vLLM's and the restoring engine's: the talk goes on."""


@pytest.fixture(scope="module")
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def runs(engines, kind, tmp_path_factory):
    model = TinyModel.write(kind, tmp_path_factory.mktemp("models"))
    with EmbeddedServer(64 * MIB) as server:
        connected = model.connected(server.url)
        # Where a step's size counts, vLLM's own cache has prompts split as the connector has.
        plain = model.plain(enable_prefix_caching=not kind.splits_exactly)
        started = start_together(
            *(lambda setup=setup: engines.start(setup) for setup in (plain, connected, connected))
        )
        try:
            return _answered(kind, *started)
        finally:
            for engine in started:
                engine.kill()


def _answered(kind, plain, saving, restoring):
    caches = plain.caches(), saving.caches()
    whole = kind.chunks * caches[1].chunk_tokens(CHUNK_TOKENS)
    long = Request(prompt(whole + 2, seed=1), ANSWER_TOKENS, with_logprobs=True)
    talk = Request(prompt(whole - 20, seed=2), 30, with_logprobs=True)
    saved = [saving.generate(request) for request in (long, talk)]
    saving.close()
    turn = Request(talk.prompt_ids + saved[1].answers[0] + prompt(4, seed=3), 8, with_logprobs=True)
    right = [plain.generate(request) for request in (long, talk, turn)]
    restored = [restoring.generate(request) for request in (long, turn)]
    return Runs(
        kind,
        whole,
        caches,
        saving.log() + restoring.log(),
        long=(right[0], saved[0], restored[0]),
        talk=(right[1], saved[1]),
        turn=(right[2], restored[1]),
    )


def test_the_first_engine_computes_and_answers_right(runs):
    for right, saved in (runs.long[:2], runs.talk):
        assert saved.external_tokens == 0
        assert_alike(saved, right)


def test_a_new_process_restores_every_whole_chunk(runs):
    right, _, restored = runs.long
    assert (restored.external_tokens, restored.cached_tokens) == (
        runs.restored_tokens,
        [runs.restored_tokens],
    )
    assert_alike(restored, right)


def test_what_was_saved_while_decoding_is_restored(runs):
    right, restored = runs.turn
    assert restored.external_tokens == runs.restored_tokens
    if runs.kind.splits_exactly:
        assert_alike(restored, right)


def test_vllm_keeps_each_kind_of_cache_as_without_us(runs):
    without, ours = runs.caches
    assert (ours.kinds, ours.num_blocks) == (without.kinds, without.num_blocks)
    assert "hybrid kv cache manager" not in runs.logs.lower()
