"""A bucket on a real server, asked in the process of the test."""

from __future__ import annotations

import pytest

from kvtransfer.client_programs.objects.bucket import Bucket
from kvtransfer.client_programs.objects.client import open_client
from kvtransfer.stores.objects.url import read_url
from tests.stores.objects.object_backing import ObjectBacking
from tests.stores.objects.servers import ENVIRONMENT, SeaweedFS

PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def _credentials(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def seaweedfs():
    with SeaweedFS() as server:
        yield server


@pytest.fixture
def backing(seaweedfs):
    return ObjectBacking(seaweedfs)


@pytest.fixture
def bucket(backing):
    return Bucket(open_client(read_url(backing.url).settings(PATIENCE_S)))
