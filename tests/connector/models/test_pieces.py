"""Each piece that a hit needs is read, and verified; no other is."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, prompt
from tests.connector.models.alike import assert_alike, furthest
from tests.connector.models.pieces import Pieces

if TYPE_CHECKING:
    from tests.connector.engines import Engine
    from tests.connector.models.groups import Caches

pytestmark = pytest.mark.vllm

OTHER = 1e-3
"""How far a log-probability is off, at the least, where bytes of the cache are wrong."""


@dataclass(frozen=True)
class Stored:
    """A prompt of which a store holds every piece, and an engine that has nothing else of it."""

    request: Request
    caches: Caches
    chunks: int
    engine: Engine
    pieces: Pieces

    @property
    def chunk_tokens(self):
        return self.caches.chunk_tokens(CHUNK_TOKENS)

    @property
    def needed(self):
        return self.caches.needed(self.chunks, self.chunk_tokens)

    def longest_hit(self, held):
        """How many tokens can be restored from the pieces ``held``."""
        hits = range(self.chunks, 0, -1)
        fitting = (hit for hit in hits if self.caches.needed(hit, self.chunk_tokens) <= held)
        return next(fitting, 0) * self.chunk_tokens

    def answered(self):
        """What comes of the prompt with the store as it is."""
        assert self.engine.reset(), "blocks were lost"
        return self.engine.generate(self.request)

    def unverified(self):
        """How many chunks were refused until now."""
        return self.engine.counted()["unverified_chunks"]


@pytest.fixture(scope="module")
def stored(kind, tiny, v1_engines):
    """Each prefix of whole chunks has been a prompt, so that its windows and states are there."""
    chunks = kind.chunks
    with EmbeddedServer(64 << 20) as server, closing(Pieces(server.url)) as pieces:
        with v1_engines.start(tiny.connected(server.url)) as saving:
            caches = saving.caches()
            chunk_tokens = caches.chunk_tokens(CHUNK_TOKENS)
            ids = prompt(chunks * chunk_tokens + 2, seed=1)
            for chunk in range(chunks):
                saving.generate(Request(ids[: (chunk + 1) * chunk_tokens + 2], answer_tokens=1))
                pieces.note(len(caches.groups), chunk)
        request = Request(ids, 16, with_logprobs=True)
        reading = tiny.connected(server.url, role="kv_consumer", local_cpu=False)
        with v1_engines.start(reading) as engine:
            yield Stored(request, caches, chunks, engine, pieces)


@pytest.fixture
def whole(stored):
    """With everything in the store as it was put."""
    stored.pieces.mend()
    return stored


def test_a_piece_that_is_needed_is_read(whole, right):
    """Wrong bytes that no checksum finds change the answer: what right ones show is no accident."""
    expected = right.generate(whole.request)
    for piece in sorted(whole.needed):
        whole.pieces.mend()
        whole.pieces.forge([piece])
        outcome = whole.answered()
        assert outcome.cached_tokens == [whole.chunks * whole.chunk_tokens]
        is_other = outcome.answers != expected.answers or furthest(outcome, expected) > OTHER
        assert is_other, f"{piece} is not read"


def test_a_piece_that_is_needed_is_verified(whole, right):
    for piece in sorted(whole.needed):
        whole.pieces.mend()
        whole.pieces.damage([piece])
        before = whole.unverified()
        outcome = whole.answered()
        assert_alike(outcome, right.generate(whole.request))
        assert whole.unverified() > before, f"{piece} was not verified"
        assert outcome.cached_tokens[0] < whole.chunks * whole.chunk_tokens


def test_a_piece_that_is_needed_and_gone_shortens_the_hit(whole, right):
    for piece in sorted(whole.needed):
        whole.pieces.mend()
        whole.pieces.remove([piece])
        outcome = whole.answered()
        assert outcome.external_tokens == whole.longest_hit(whole.pieces.known - {piece}), piece
        assert_alike(outcome, right.generate(whole.request))


@pytest.mark.parametrize("harm", [Pieces.forge, Pieces.damage, Pieces.remove])
def test_pieces_that_are_not_needed_do_not_matter(whole, right, harm):
    others = whole.pieces.known - whole.needed
    assert others
    harm(whole.pieces, others)
    before = whole.unverified()
    outcome = whole.answered()
    assert outcome.cached_tokens == [whole.chunks * whole.chunk_tokens]
    assert whole.unverified() == before
    assert_alike(outcome, right.generate(whole.request))


def test_all_pieces_are_damaged(whole, right):
    whole.pieces.damage(whole.pieces.known)
    assert_alike(whole.answered(), right.generate(whole.request))
    whole.pieces.mend()
    outcome = whole.answered()
    assert outcome.cached_tokens == [whole.chunks * whole.chunk_tokens]
    assert_alike(outcome, right.generate(whole.request))
