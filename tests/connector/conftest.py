"""Engines, models and stores for the tests of this folder."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores.embedded import EmbeddedServer
from tests.connector.engine_process import Setup
from tests.connector.engines import Engines
from tests.connector.entries import Entries
from tests.connector.tiny_model import write_model


@pytest.fixture(scope="session")
def engines(tmp_path_factory):
    with closing(Engines(tmp_path_factory.mktemp("engines"))) as running:
        yield running


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def plain(engines, model):
    """vLLM without connector and without prefix caching: it computes every token."""
    with engines.start(Setup(model, options={"enable_prefix_caching": False})) as engine:
        yield engine


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.fixture
def entries(server):
    with closing(Entries(server.url)) as opened:
        yield opened
