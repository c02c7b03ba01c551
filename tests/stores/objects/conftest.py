"""Real servers for the tests of this folder, each with a bucket and credentials in the environment."""

from __future__ import annotations

import pytest

from tests.stores.objects.object_backing import ObjectBacking
from tests.stores.objects.servers import ENVIRONMENT, Moto, SeaweedFS


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def seaweedfs():
    with SeaweedFS() as server:
        yield server


@pytest.fixture(scope="session")
def moto():
    with Moto() as server:
        yield server


@pytest.fixture
def server(seaweedfs):
    return seaweedfs


@pytest.fixture
def backing(server):
    return ObjectBacking(server)
