"""Every cache dtype and attention backend in the sources of each supported vLLM has a verdict."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

from kvtransfer.connector.vllm.pages.verdicts import (
    BACKENDS,
    DTYPES,
    REFUSED_BACKENDS,
    REFUSED_DTYPES,
)
from tests.connector.vllm_variants import OTHER_VERSIONS

INSTALLED = Path(importlib.util.find_spec("vllm").origin).parents[1]
VERSIONS = [INSTALLED, *OTHER_VERSIONS]
REGISTRIES = {"AttentionBackendEnum", "MambaAttentionBackendEnum"}


def parsed(folder, file):
    return ast.parse((folder / "vllm" / file).read_text())


def dtypes(tree):
    """What the literal ``CacheDType`` lists."""
    return next(
        {name.value for name in node.value.slice.elts}
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "CacheDType"
    )


def backends(tree):
    """The members of both registries."""
    return {
        node.targets[0].id
        for registry in tree.body
        if isinstance(registry, ast.ClassDef) and registry.name in REGISTRIES
        for node in registry.body
        if isinstance(node, ast.Assign)
    }


def options(tree):
    """The fields of ``CacheConfig``."""
    config = next(node for node in tree.body if getattr(node, "name", "") == "CacheConfig")
    return {node.target.id for node in config.body if isinstance(node, ast.AnnAssign)}


def all_of(names, file):
    return {name for folder in VERSIONS for name in names(parsed(folder, file))}


@pytest.mark.parametrize(
    ("served", "refused", "names", "file"),
    [
        (DTYPES, REFUSED_DTYPES, dtypes, "config/cache.py"),
        (BACKENDS, REFUSED_BACKENDS, backends, "v1/attention/backends/registry.py"),
    ],
    ids=["dtypes", "backends"],
)
@pytest.mark.vllm
def test_each_name_of_vllm_has_one_verdict(served, refused, names, file):
    known = all_of(names, file)
    assert len(known) > 15
    assert known - served.keys() - refused.keys() == set(), "vLLM has names without a verdict"
    assert (served.keys() | refused.keys()) - known == set(), "verdicts of names that are gone"
    assert served.keys() & refused.keys() == set()


def test_a_new_name_is_noticed():
    assert dtypes(ast.parse('CacheDType = Literal["auto", "int2"]')) == {"auto", "int2"}
    source = 'class AttentionBackendEnum(Enum):\n  NEW = "vllm.new"\n  def get(self): ...'
    assert backends(ast.parse(source)) == {"NEW"}


@pytest.mark.vllm
def test_no_scales_are_computed_at_run_time():
    """A scale that the first batch decides would differ between engines under the same key."""
    assert "kv_cache_dtype_skip_layers" in all_of(options, "config/cache.py")
    assert "calculate_kv_scales" not in all_of(options, "config/cache.py")


@pytest.mark.parametrize("reason", [*REFUSED_DTYPES.values(), *REFUSED_BACKENDS.values()])
def test_reasons_end_a_sentence(reason):
    assert reason
    assert not reason.endswith(".")
    assert ";" not in reason
