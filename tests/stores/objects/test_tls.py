"""A server with a certificate of an authority of our own."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.stores.objects.object_backing import ObjectBacking
from tests.stores.objects.servers import Moto
from tests.stores.redis.certificates import Authority


def test_an_authority_of_our_own_is_trusted_where_it_is_named(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    with Moto(authority) as server:
        backing = ObjectBacking(server)
        with (
            closing(backing.open(CHUNK, StoreSettings())) as store,
            pytest.raises(StoreError, match=r"isn't trusted here; .* in SSL_CERT_FILE"),
        ):
            store.contains([KEY])
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        with closing(backing.open(CHUNK, StoreSettings(timeout_s=60))) as store:
            assert store.put(KEY, memoryview(PAYLOAD))
            assert get(store, KEY) == PAYLOAD
