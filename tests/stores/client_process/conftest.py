"""Programs whose client is a simulated one, of a simulated server."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from kvtransfer.stores.client_process.process import ClientProcess
from tests.stores.infinistore.simulated_server import SimulatedServer

SIMULATED = Path(__file__).parents[1] / "infinistore" / "simulated"


@pytest.fixture(autouse=True)
def simulated_client(monkeypatch):
    monkeypatch.syspath_prepend(str(SIMULATED))


@pytest.fixture
def simulated():
    with closing(SimulatedServer()) as server:
        yield server


@pytest.fixture
def settings(simulated):
    """What the program is told."""
    place = {"host": "127.0.0.1", "port": simulated.port}
    return {**place, "device": "d", "ib_port": 1, "link": "IB", "timeout_s": 120.0}


@pytest.fixture
def process(settings):
    with closing(ClientProcess("infinistore", settings, {})) as running:
        yield running
