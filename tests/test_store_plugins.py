"""Stores of other packages are found by their entry points."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.store_plugins import store_plugins
from tests.installed_plugin import install


def test_none_is_found_where_none_is_installed():
    assert not store_plugins()


def test_a_plugin_is_found_and_not_imported(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    assert list(store_plugins()) == ["cupboard"]
    assert store_plugins()["cupboard"].package == "cupboards"
    assert "cupboards" not in sys.modules


def test_its_urls_are_settings(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="remote_url"):
        TransferConfig.of(remote_url="cupboard://kitchen")
    install(tmp_path, monkeypatch)
    config = TransferConfig.of(remote_url="cupboard://kitchen")
    assert config.remote_url == "cupboard://kitchen"


@pytest.mark.parametrize("code", ["import gone", "raise RuntimeError('a\\nb')", "1 +", "x = 1"])
def test_one_that_can_not_be_imported_is_one_sentence(tmp_path, monkeypatch, code):
    install(tmp_path, monkeypatch, code=code)
    with pytest.raises(ConfigError, match=r"for cupboard://.* package cupboards$") as refused:
        store_plugins()["cupboard"].load()
    assert "\n" not in str(refused.value)


def test_two_for_one_scheme_are_refused(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    install(tmp_path, monkeypatch, package="other-cupboards")
    said = "cupboards and .*cupboards both bring a store for cupboard://"
    with pytest.raises(ConfigError, match=said):
        store_plugins()
    with pytest.raises(ConfigError, match=said):
        TransferConfig.of(remote_url="redis://h")


def test_a_new_process_finds_it(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch)
    code = "from kvtransfer.store_plugins import store_plugins; print(*store_plugins())"
    path = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
    said = subprocess.run([sys.executable, "-c", path + code], capture_output=True, check=True)
    assert said.stdout == b"cupboard\n"
