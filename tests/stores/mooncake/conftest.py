"""One master and segment for the tests of this folder that break neither."""

from __future__ import annotations

import sys
from contextlib import closing

import pytest

from tests.stores.mooncake.mooncake_backing import MooncakeBacking
from tests.stores.mooncake.servers import Mooncake

if sys.version_info >= (3, 14):  # for which Mooncake has no build
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="package")
def mooncake():
    with closing(Mooncake()) as servers:
        yield servers


@pytest.fixture(scope="package")
def side_door_of():
    """Opens Mooncake's own client, which sees and changes every value of given servers."""

    def opened(servers):
        from mooncake.store import MooncakeDistributedStore

        store = MooncakeDistributedStore()
        place = ("127.0.0.1", "P2PHANDSHAKE", 0, 16 << 20, "tcp", "", servers.address)
        assert store.setup(*place) == 0
        return closing(store)

    return opened


@pytest.fixture(scope="package")
def side_door(mooncake, side_door_of):
    with side_door_of(mooncake) as store:
        yield store


@pytest.fixture
def backing(mooncake, side_door):
    yield MooncakeBacking(mooncake, side_door)
    for name in mooncake.names():
        side_door.remove(name, True)
