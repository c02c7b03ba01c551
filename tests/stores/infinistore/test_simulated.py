"""The simulated client has the signatures that InfiniStore's release 0.2.35 has."""

from __future__ import annotations

import importlib
import inspect

import pytest

# Read from the source in that wheel; parameters without ``self``.
SIGNATURES = {
    "__init__": ["config"],
    "connect": [],
    "close": [],
    "register_mr": ["arg", "size"],
    "rdma_write_cache_async": ["blocks", "block_size", "ptr"],
    "rdma_read_cache_async": ["blocks", "block_size", "ptr"],
    "check_exist": ["key"],
    "delete_keys": ["keys"],
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_a_method_takes_what_the_release_takes(name):
    simulated = importlib.import_module("infinistore").InfinityConnection
    method = getattr(simulated, name)
    assert list(inspect.signature(method).parameters)[1:] == SIGNATURES[name]
    assert inspect.iscoroutinefunction(method) == name.endswith("_async")
