"""Our class fits SGLang's interface: the published one, and that of a wheel where there is one."""

from __future__ import annotations

import ast
import inspect
import zipfile
from dataclasses import fields
from enum import Enum

import pytest
from sglang.srt.mem_cache import hicache_storage as sglang

from kvtransfer.connector.sglang.storage import KVTransferStorage
from tests.connector.sglang.host_pools import mha, tokens_of
from tests.connector.sglang.processes import storage_config
from tests.connector.sglang.wheel import INTERFACE, PUBLISHED, wheel

METHODS = [name for name, _ in inspect.getmembers(sglang.HiCacheStorage, inspect.isfunction)]
INHERITED = {"on_host_pools_registered", "get_stats"}


def classes(source):
    """The parameters of methods and the fields of classes in ``source``, by class."""
    return {
        node.name: members(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef)
    }


def members(node):
    found = {}
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("__"):
            args = each.args
            found[each.name] = (
                [arg.arg for arg in args.args],
                list(map(ast.unparse, args.defaults)),
            )
        elif isinstance(each, ast.AnnAssign):
            found[each.target.id] = each.value and ast.unparse(each.value)
        elif isinstance(each, ast.Assign):
            found[each.targets[0].id] = ast.unparse(each.value)
    return found


def differing(ours, theirs):
    """What is other, or missing, in ``theirs``."""
    return {
        f"{name}.{member}"
        for name, known in ours.items()
        for member, said in known.items()
        if theirs.get(name, {}).get(member, "missing") != said
    }


@pytest.mark.parametrize("method", METHODS)
def test_each_method_takes_what_sglang_passes(method):
    theirs = inspect.signature(getattr(sglang.HiCacheStorage, method)).parameters
    ours = inspect.signature(getattr(KVTransferStorage, method)).parameters
    assert list(ours) == list(theirs)
    defaults = [each.default for each in ours.values()]
    assert defaults == [each.default for each in theirs.values()]
    is_inherited = getattr(KVTransferStorage, method) is getattr(sglang.HiCacheStorage, method)
    assert is_inherited == (method in INHERITED)


def test_a_difference_is_found():
    source = (PUBLISHED / INTERFACE).read_text()
    changed = source.replace("def clear(self)", "def clear(self, prefix)")
    changed = changed.replace("dp_rank: int = 0", "dp_rank: int = 1")
    found = differing(classes(source), classes(changed))
    assert found == {"HiCacheStorage.clear", "HiCacheStorageConfig.dp_rank"}


if path := wheel():  # beside the published interface, where SGLANG_WHEEL names a wheel

    def test_the_published_interface_is_the_wheels():
        with zipfile.ZipFile(path) as archive:
            theirs = archive.read(INTERFACE).decode()
        assert differing(classes((PUBLISHED / INTERFACE).read_text()), classes(theirs)) == set()

    def test_the_wheels_own_module_is_what_these_tests_import():
        assert issubclass(sglang.PoolName, Enum)
        assert hasattr(sglang, "HiCacheFile")
        assert len(fields(sglang.HiCacheStorageConfig)) == 17

    def test_the_wheels_factory_makes_our_storage(server):
        from sglang.srt.mem_cache.storage.backend_factory import StorageBackendFactory

        pool = mha()
        config = storage_config({"remote_url": server.url, "weights_name": "w"})
        storage = StorageBackendFactory.create_backend("dynamic", config, pool)
        assert type(storage) is KVTransferStorage
        storage.register_mem_pool_host(pool)
        assert storage.batch_set_v1(["a"], tokens_of(0)) == [True]
        assert storage.batch_exists(["a"]) == 1
        storage.close()
