from contextlib import closing

import pytest

from demo.pictures.damage import damage
from kvtransfer.cli import main
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_entries
from tests.operate.entries import FACTS, key_of

PASSWORD = "password"


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20, password=PASSWORD) as running:
        yield running


def filled(server, entries):
    with closing(open_entries(server.url, StoreSettings())) as store:
        for number in range(entries):
            assert store.put(key_of(number), memoryview(bytes(4096)), FACTS)


def test_verify_finds_each_kind(server, capsys):
    filled(server, 5)
    changed = damage(f"redis://127.0.0.1:{server.port}/0", PASSWORD)
    assert main(["verify", server.url]) == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [["good", "2"], ["damaged", "2"], ["without", "a", "record", "1"]]
    assert ["damaged", changed] in lines


def test_an_empty_store_is_not_damaged(server):
    filled(server, 2)
    with pytest.raises(ValueError, match="holds 2 entries"):
        damage(f"redis://127.0.0.1:{server.port}/0", PASSWORD)
