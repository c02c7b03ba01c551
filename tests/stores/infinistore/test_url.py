from __future__ import annotations

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.infinistore import store as infinistore_store
from kvtransfer.stores.infinistore.store import InfiniStore
from kvtransfer.stores.infinistore.url import read_infinistore_url


def test_options_are_read():
    read = read_infinistore_url("infinistore://h:7?device=mlx5_3&ib_port=2&link=Ethernet")
    assert read.settings(1.5) == {
        "host": "h",
        "port": 7,
        "device": "mlx5_3",
        "ib_port": 2,
        "link": "Ethernet",
        "timeout_s": 1.5,
    }


@pytest.mark.parametrize(
    "url",
    ["infinistore://", "infinistore://h", "infinistore://h:p", "infinistore://h:1/path",
     "infinistore://me:pw@h:1", "infinistore://h:1#x", "infinistore://h:1?size=1",
     "infinistore://h:1?link=tcp", "infinistore://h:1?ib_port=a",
     "infinistore://h:1?device=a&device=b"],
)  # fmt: skip
def test_a_malformed_url_is_refused(url):
    with pytest.raises(ConfigError, match="write infinistore://host:12345") as refused:
        InfiniStore.check(url, StoreSettings())
    assert "pw" not in str(refused.value)


def test_without_the_client_it_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(infinistore_store, "find_spec", lambda _: None)
    for refused in (InfiniStore.check, InfiniStore.open):
        with pytest.raises(ConfigError, match=r"pip install '\.\[infinistore\]'"):
            refused("infinistore://h:1", StoreSettings())
