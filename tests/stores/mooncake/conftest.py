"""One master and segment for the tests of this folder that break neither."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.stores.mooncake.mooncake_backing import MooncakeBacking
from tests.stores.mooncake.servers import Mooncake


@pytest.fixture(scope="package")
def mooncake():
    with closing(Mooncake()) as servers:
        yield servers


@pytest.fixture(scope="package")
def side_door(mooncake):
    """Mooncake's own client, which sees and changes every value."""
    from mooncake.store import MooncakeDistributedStore

    store = MooncakeDistributedStore()
    assert store.setup("127.0.0.1", "P2PHANDSHAKE", 0, 16 << 20, "tcp", "", mooncake.address) == 0
    with closing(store):
        yield store


@pytest.fixture
def backing(mooncake, side_door):
    yield MooncakeBacking(mooncake, side_door)
    for name in mooncake.names():
        side_door.remove(name, True)
