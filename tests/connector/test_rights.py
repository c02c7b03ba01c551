"""Engines save and restore with the rights that docs/security.md gives their user."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Request
from tests.connector.entries import Entries
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt
from tests.stores.redis.page import block

pytestmark = pytest.mark.vllm

REQUEST = Request(prompt(300, seed=8))
CHUNKS = 300 // CHUNK_TOKENS
ASKED_FOR_THE_LOG = {"ping", "info"}


def test_an_engine_needs_no_other_rights(v1_engines, model, plain):
    with (
        EmbeddedServer(64 << 20, extra_config=block("users.acl")) as server,
        closing(Entries(server.url)) as entries,
    ):
        setup = connected(model, f"redis://kv:PASSWORD@127.0.0.1:{server.port}/0")
        with v1_engines.start(setup) as engine:
            engine.generate(REQUEST)
            entries.await_count(CHUNKS)
        with v1_engines.start(setup) as engine:
            restored = engine.generate(REQUEST)
        assert restored.external_tokens == CHUNKS * CHUNK_TOKENS
        assert restored.answers == plain.generate(REQUEST).answers
        assert entries.refused() == ASKED_FOR_THE_LOG
        assert "doesn't answer" not in engine.log()
