"""Sealed entries in the system's Redis, copied by its own COPY."""

from __future__ import annotations

import pytest

from kvtransfer.testing import KEY, OTHER_KEY, PAYLOAD
from tests.stores.backing import RedisBacking
from tests.stores.redis.servers import BINARIES, Server
from tests.stores.seals.seal_contract import SETTINGS, SealContract, assert_refused, put, read


@pytest.fixture(scope="module", params=BINARIES)
def running(request, tmp_path_factory):
    server = Server(BINARIES[request.param](), tmp_path_factory.mktemp("seals"))
    yield server
    server.kill()


@pytest.fixture
def backing(running):
    with running.client() as client:
        client.flushall()
        yield RedisBacking(running.url, client)


class TestSealsOnAServer(SealContract):
    pass


@pytest.mark.parametrize("mode", SETTINGS)
def test_the_servers_own_copy_of_both_halves_is_a_miss(vault, mode):
    with vault.opened(mode, "key") as store:
        put(store)
        for half in ("", "_bytes"):
            assert vault.backing.client.copy(f"{KEY}{half}", f"{OTHER_KEY}{half}")
        assert store.contains([OTHER_KEY]) == [True]
        assert_refused(vault, store, OTHER_KEY)
        assert read(store) == PAYLOAD
