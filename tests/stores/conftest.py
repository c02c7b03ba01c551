"""A real server for the tests of this folder, and fixtures of the store contract."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.testing import CHUNK
from tests.stores.seals.seal_contract import Vault


@pytest.fixture
def server(tmp_path_factory):
    with EmbeddedServer(64 << 20) as running:
        yield running


@pytest.fixture
def store(backing):
    with closing(backing.open(CHUNK, StoreSettings())) as opened:
        yield opened


@pytest.fixture
def vault(backing, tmp_path_factory):
    return Vault(backing, tmp_path_factory.mktemp("keys"))
