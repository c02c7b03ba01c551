"""One row and one module are all that a store needs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.schemes import SCHEMES, Scheme, scheme_of


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda scheme: scheme.name)
def test_each_row_has_a_class_that_takes_its_example(scheme, monkeypatch):
    # InfiniStore's own client would bring torch for CUDA.
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("infinistore") / "simulated"))
    example = scheme.example or next(
        each.example.replace(each.name, scheme.name)
        for each in SCHEMES.values()
        if each.example and each.name == scheme.name.replace("rediss", "redis")
    )
    assert scheme_of(example) is scheme
    scheme.store_class().check(example, StoreSettings())


def test_a_new_store_is_a_row_and_a_module(monkeypatch):
    class Ours(MemoryStore):
        @classmethod
        def check(cls, url, settings):
            if url != "ours://here":
                raise ConfigError("write ours://here")

    module = ModuleType("kvtransfer.stores.ours")
    module.OurStore = Ours
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(SCHEMES, "ours", Scheme("ours", "ours", "OurStore", "ours://here"))
    assert isinstance(open_entries("ours://here", StoreSettings()), Ours)
    with pytest.raises(ConfigError, match="ours://here"):
        open_entries("ours://there", StoreSettings())


def test_servers_that_an_operator_runs_are_told_from_our_own():
    assert scheme_of("rediss-cluster://h").is_redis_server
    assert not scheme_of("embedded://").is_redis_server
