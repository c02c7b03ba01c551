from __future__ import annotations

import pytest

from kvtransfer.testing import StoreContract
from tests.stores import cluster as clusters
from tests.stores.backing import RedisBacking
from tests.stores.servers import BINARIES


@pytest.fixture(scope="module", params=BINARIES)
def cluster(request, tmp_path_factory):
    with clusters.running(BINARIES[request.param](), tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def backing(cluster):
    cluster.flush()
    with clusters.client_of(cluster) as client:
        yield RedisBacking(cluster.url, client)


class TestRedisClusterStore(StoreContract):
    pass
