"""A store that another package brings is used as one of ours, or refused in one sentence."""

from __future__ import annotations

from contextlib import closing

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings, open_store
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.feeds.open import open_feed
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.schemes import scheme_of
from kvtransfer.testing import CHUNK, KEY, PAYLOAD, get
from tests.installed_plugin import WHOLE, install

URL = "cupboard://kitchen"
HALF = "from kvtransfer.stores import Store\n\n\nclass CupboardStore(Store):\n    pass\n"


def test_it_is_opened_checked_and_asked_for_a_feed(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    config = TransferConfig.of(remote_url=URL)
    check_stores(config)
    assert open_feed(config) is not None
    with closing(open_store(URL, CHUNK, StoreSettings())) as store:
        assert store.put(KEY, memoryview(PAYLOAD))
        assert get(store, KEY) == PAYLOAD
    assert not scheme_of(URL).is_redis_server


def test_its_own_refusals_are_passed_on(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match="write cupboard://kitchen"):
        check_stores(TransferConfig.of(remote_url="cupboard://cellar"))


def test_a_url_of_no_store_is_told_of_plugins_too(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    with pytest.raises(ConfigError, match=r"or cupboard://$"):
        open_entries("drawer://", StoreSettings())


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("CupboardStore = 3", "is no subclass of kvtransfer.stores.Store"),
        ("class CupboardStore:\n    pass", "is no subclass of kvtransfer.stores.Store"),
        (HALF, "doesn't define open, contains, get_into, put, entries, stat, remove, close"),
        (WHOLE.replace("CupboardStore", "Shelf"), "can't be imported \\(AttributeError"),
        ("import gone", "can't be imported \\(ModuleNotFoundError: No module named 'gone'"),
    ],
)
def test_a_broken_one_is_refused_early_and_by_name(tmp_path, monkeypatch, code, why):
    install(tmp_path, monkeypatch, code=code)
    with pytest.raises(ConfigError, match=f"{why}.*uninstall the package cupboards"):
        check_stores(TransferConfig.of(remote_url=URL))


def test_a_broken_one_that_no_url_names_does_no_harm(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, code="import gone")
    check_stores(TransferConfig.of(remote_url="memory://"))


@pytest.mark.parametrize("scheme", ["redis", "nixl", "valkey-cluster"])
def test_a_scheme_of_ours_is_not_for_others(tmp_path, monkeypatch, scheme):
    install(tmp_path, monkeypatch, scheme=scheme)
    for url in ("memory://", "redis://h"):
        with pytest.raises(ConfigError, match=f"for {scheme}:// takes a scheme of kvtransfer's"):
            check_stores(TransferConfig.of(remote_url=url))
