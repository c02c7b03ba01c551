"""Engines, models and stores for the tests of this folder."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.engine_process import Setup
from tests.connector.engines import Engines
from tests.connector.entries import Entries
from tests.connector.plain_vllm import PlainVllm
from tests.connector.tiny_model import write_model
from tests.connector.vllm_variants import V1, V2


@pytest.fixture(scope="session")
def v1_engines(tmp_path_factory):
    with closing(Engines(tmp_path_factory.mktemp("engines-v1"), V1)) as running:
        yield running


@pytest.fixture(scope="session", params=[V1, V2], ids=lambda variant: variant.name)
def engines(request, v1_engines, tmp_path_factory):
    """Every test of an engine runs on both of vLLM's model runners."""
    if request.param is V1:
        yield v1_engines
        return
    with closing(Engines(tmp_path_factory.mktemp("engines-v2"), V2)) as running:
        yield running


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="session")
def plain(v1_engines, model):
    """vLLM without connector and without prefix caching, for both runners: they answer alike."""
    with v1_engines.start(Setup(model, options={"enable_prefix_caching": False})) as engine:
        yield PlainVllm(engine)


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.fixture
def entries(server):
    with closing(Entries(server.url)) as opened:
        yield opened
