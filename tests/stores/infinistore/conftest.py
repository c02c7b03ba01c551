"""A simulated server and client: the real server starts only where there is RDMA."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.stores.infinistore.infinistore_backing import InfiniStoreBacking
from tests.stores.infinistore.simulated_server import SimulatedServer


@pytest.fixture(autouse=True)
def simulated_client(monkeypatch):
    """What ``import infinistore`` finds, here and in the client's process."""
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("simulated")))


@pytest.fixture
def simulated():
    with closing(SimulatedServer()) as server:
        yield server


@pytest.fixture
def backing(simulated):
    return InfiniStoreBacking(simulated)
