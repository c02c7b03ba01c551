"""The old name of the default eviction policy works for one release, with one warning."""

from __future__ import annotations

import logging

import pytest

from kvtransfer.config import TransferConfig


def load(extra=None, **environ):
    return TransferConfig.load(extra or {}, environ)


@pytest.mark.parametrize(
    ("source", "settings"),
    [
        ("eviction_policy", {"extra": {"eviction_policy": "odds"}}),
        ("KVTRANSFER_EVICTION_POLICY", {"KVTRANSFER_EVICTION_POLICY": "odds"}),
        ("LMCACHE_CACHE_POLICY", {"LMCACHE_CACHE_POLICY": "odds"}),
        (
            "eviction_policy",
            {"extra": {"eviction_policy": "odds"}, "KVTRANSFER_EVICTION_POLICY": "odds"},
        ),
    ],
)
def test_one_line_names_the_place_and_the_new_word(source, settings, caplog):
    assert load(**settings) == load()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"{source} ('odds'): ")
    assert "now called 'learned'" in record.getMessage()


def test_a_caller_of_the_library_is_warned_too(caplog):
    assert TransferConfig.of(eviction_policy="Odds").eviction_policy == "learned"
    (record,) = caplog.records
    assert "now called 'learned'" in record.getMessage()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"extra": {"eviction_policy": "learned"}},
        {"extra": {"eviction_policy": "lru"}, "KVTRANSFER_EVICTION_POLICY": "odds"},
    ],
)
def test_present_names_and_values_that_are_overridden_need_no_warning(settings, caplog):
    load(**settings)
    assert caplog.records == []
