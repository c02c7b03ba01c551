"""Where vLLM reuses no prefix, we don't either: our list of its reasons is held against its source."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.reuse_verdict import (
    VERDICTS,
    refuse_groups,
    refuse_layers,
    refuse_model,
)
from kvtransfer.errors import ConfigError

SWITCHES = {"enable_prefix_caching", "skip_reading_prefix_cache"}
JUDGEMENTS = {"prefix_cacheable", "is_prefix_caching_supported"}


def places(source, file):
    """Where ``source`` turns a switch or passes judgement, as ``file::function``."""
    found = set()

    def visit(node, path):
        for child in ast.iter_child_nodes(node):
            inner = path
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = [*path, child.name]
            if inner and (turned(child) & SWITCHES or (inner != path and child.name in JUDGEMENTS)):
                found.add(f"{file}::{'.'.join(inner)}")
            visit(child, inner)

    visit(ast.parse(source), [])
    return found


def turned(node):
    """The attributes that the statement ``node`` sets."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr":
        return {argument.value for argument in node.args[1:2] if isinstance(argument, ast.Constant)}
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return {target.attr for target in targets if isinstance(target, ast.Attribute)}


def is_listed(place):
    file, _, function = place.partition("::")
    general = f"{file}::*.{function.rpartition('.')[2]}"
    return any(verdict.place in (place, general) for verdict in VERDICTS)


def test_a_new_reason_of_vllm_is_noticed():
    source = (
        "class Platform:\n  def check(self, config):\n    config.cache.enable_prefix_caching = 0"
    )
    assert places(source, "new.py") == {"new.py::Platform.check"}
    assert not is_listed("new.py::Platform.check")
    source = "def late(config):\n  setattr(config, 'enable_prefix_caching', False)"
    assert places(source, "new.py") == {"new.py::late"}


@pytest.mark.vllm
def test_every_place_where_vllm_rules_reuse_out_is_listed():
    root = Path(importlib.util.find_spec("vllm").origin).parent
    found = set()
    for path in root.rglob("*.py"):
        source = path.read_text()
        if any(name in source for name in SWITCHES | JUDGEMENTS):
            found |= places(source, path.relative_to(root).as_posix())
    assert len(found) >= len(VERDICTS)
    assert {place for place in found if not is_listed(place)} == set()


def config(**changes):
    made = {"mla": False, "caching": True, "supported": True, "architectures": ["X"]} | changes
    return SimpleNamespace(
        cache_config=SimpleNamespace(enable_prefix_caching=made["caching"]),
        model_config=SimpleNamespace(
            use_mla=made["mla"],
            is_prefix_caching_supported=made["supported"],
            architectures=made["architectures"],
        ),
        is_mm_encoder_only=made.get("encoder_only", False),
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mla": True, "caching": False}, "MLA"),
        ({"supported": False}, "attention or pooling"),
        ({"architectures": ["UnlimitedOCRForCausalLM"]}, "Unlimited-OCR"),
        ({"encoder_only": True}, "encoder only"),
    ],
)
def test_what_vllm_reuses_nothing_for_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        refuse_model(config(**changes))


def test_who_turns_off_vllms_own_cache_by_hand_is_served():
    refuse_model(config(caching=False))


def test_groups_whose_tokens_depend_on_later_ones_are_refused():
    spec = SimpleNamespace(non_causal=True)
    groups = [SimpleNamespace(kv_cache_spec=spec, layer_names=["layers.0"])]
    with pytest.raises(ConfigError, match=r"layers\.0"):
        refuse_groups(SimpleNamespace(kv_cache_groups=groups))


@pytest.mark.parametrize(("backend", "is_refused"), [("FLASHINFER", True), ("FLASH_ATTN", False)])
def test_layers_without_invariant_reuse_are_refused(monkeypatch, backend, is_refused):
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "1")
    layer = SimpleNamespace(attn_backend=SimpleNamespace(get_name=lambda: backend))
    layers = SimpleNamespace(static_forward_context={"layer": layer})
    vllm_config = SimpleNamespace(compilation_config=layers)
    if is_refused:
        with pytest.raises(ConfigError, match=backend):
            refuse_layers(vllm_config)
    else:
        refuse_layers(vllm_config)
