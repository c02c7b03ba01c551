"""A vLLM that we were not tested with is refused or named, in one sentence."""

from __future__ import annotations

import logging

import pytest

import kvtransfer.connector
from kvtransfer.connector.vllm.vllm_version import refuse_older, warn_of_newer
from kvtransfer.errors import ConfigError


@pytest.mark.parametrize("version", ["0.8.5.post2", "0.30.1", "0.30.0+cpu"])
def test_an_older_one_is_refused(version):
    with pytest.raises(
        ConfigError, match=r"vLLM .* is not supported, only 0\.31 and later"
    ) as told:
        refuse_older(version)
    assert f"vLLM {version} " in str(told.value)


@pytest.mark.vllm
def test_it_is_refused_before_anything_of_it_is_missed(monkeypatch):
    monkeypatch.setattr("vllm.__version__", "0.26.0")
    with pytest.raises(ConfigError, match=r"vLLM 0\.26\.0 is not supported"):
        kvtransfer.connector.KVTransferConnector  # noqa: B018


@pytest.mark.parametrize("version", ["0.31.0", "0.32.0+cpu", "0.33.1"])
def test_nothing_is_said_of_one_that_was_tested(version, caplog):
    refuse_older(version)
    warn_of_newer(version)
    assert not caplog.records


@pytest.mark.parametrize("version", ["0.34.0", "1.0.0rc1", "0.1.dev7+g0ddba11", "dev"])
def test_a_newer_or_unknown_one_is_named_and_tried(version, caplog):
    refuse_older(version)
    warn_of_newer(version)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"tested with vLLM 0.31 to 0.33, not with this vLLM {version}" in caplog.text
