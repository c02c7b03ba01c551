from __future__ import annotations

from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.mooncake.listing import base_keys, stored_names
from kvtransfer.stores.mooncake.store import MooncakeStore
from kvtransfer.testing import KEY
from tests.stores.mooncake.servers import free_ports


def test_only_names_of_records_are_base_keys():
    assert base_keys([f"{KEY}_bytes", "", "other", "a@b@c@d", KEY, "x@1@2@3@4"]) == [KEY]


def test_a_port_that_nobody_listens_at_fails():
    with pytest.raises(StoreError, match="lists no keys"):
        stored_names("127.0.0.1", free_ports(1)[0], 5.0)


def test_another_server_fails():
    class Other(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        with pytest.raises(StoreError, match="status 404"):
            stored_names("127.0.0.1", server.server_address[1], 60.0)
        server.shutdown()
        thread.join()


def test_without_the_port_a_listing_says_what_to_add():
    store = MooncakeStore("mooncake://127.0.0.1:1", StoreSettings())
    with closing(store), pytest.raises(StoreError, match="metrics_port="):
        list(store.entries())
