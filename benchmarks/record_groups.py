"""Records the cache groups that vLLM makes of the most used models, without weights and a GPU.

``python -m benchmarks.record_groups [NAME ...]`` writes one JSON file a family of
``benchmarks/families.py`` to ``benchmarks/model_families/``. vLLM's own code does all of it: it
builds the model on torch's meta device, asks each layer for the specification of its pages, and
deals the layers into groups (``get_kv_cache_configs``). What can't be built gets no file, and its
reason is printed.

A CPU build of vLLM is enough. What it lacks is claimed to be there: AMX, without which multi-head
latent attention has no prefix caching, FlashMLA's sparse attention, and packages that only
kernels and images need. Block sizes are
those of a CPU where a model leaves them open: a multiple of 32 tokens was asked for.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

from benchmarks.families import FAMILIES, Family

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).with_name("model_families")
BLOCK_TOKENS = 32
_ENOUGH_BYTES = 1 << 42
_HOLLOW = {"cuda", "cutlass", "torchvision"}


def record(family: Family, folder: Path) -> dict[str, object]:
    """Compute the record of ``family``; ``folder`` is empty and takes its configuration."""
    import transformers
    import vllm

    write_config(family, folder)
    _register(family.architecture)
    config = _engine_config(folder)
    cache = _cache_config(config, family.layout)
    return {
        "family": family.name,
        "architecture": family.architecture,
        "computed": {
            "by": f"vLLM {vllm.__version__}, get_kv_cache_configs",
            "from": f"the default {_config_class(family).__name__} of {_source(family)}",
            "transformers": transformers.__version__,
            "changes": family.changes,
            "dropped": list(family.dropped),
            "note": family.note,
            "block_tokens_asked_for": BLOCK_TOKENS,
            "max_model_len": config.model_config.max_model_len,
        },
        "layout": family.layout,
        "prefix_caching": config.cache_config.enable_prefix_caching,
        "kv_tp_replicas": cache.kv_tp_replicas,
        "groups": [_group(group) for group in cache.kv_cache_groups],
    }


def _config_class(family: Family) -> Any:
    from transformers import CONFIG_MAPPING

    module, _, name = family.config.partition(":")
    return getattr(importlib.import_module(module), name) if name else CONFIG_MAPPING[module]


def _source(family: Family) -> str:
    return "vLLM" if ":" in family.config else "transformers"


def write_config(family: Family, folder: Path) -> None:
    """Write the ``config.json`` of ``family`` into ``folder``."""
    made = _config_class(family)(**family.changes).to_dict()
    made |= {"architectures": [family.architecture], "dtype": "bfloat16"}
    made |= {name: value for name, value in family.changes.items() if name not in made}
    for name in family.dropped:
        del made[name]
    (folder / "config.json").write_text(json.dumps(made, default=str))


def _import_vllm() -> None:
    """Import once what every child needs."""
    for name in ("engine.arg_utils", "v1.worker.gpu.attn_utils", "model_executor.models"):
        importlib.import_module(f"vllm.{name}")


def _register(architecture: str) -> None:
    """Have vLLM take the model's class from this process; it would start another to look at it."""
    from vllm import ModelRegistry
    from vllm.model_executor.models.registry import _VLLM_MODELS

    module, name = _VLLM_MODELS[architecture]
    path = module if module.startswith("vllm.") else f"vllm.model_executor.models.{module}"
    ModelRegistry.register_model(architecture, getattr(importlib.import_module(path), name))


def _engine_config(folder: Path) -> Any:
    from vllm.engine.arg_utils import EngineArgs

    return EngineArgs(
        model=str(folder),
        load_format="dummy",
        skip_tokenizer_init=True,
        block_size=BLOCK_TOKENS,
        enforce_eager=True,
        kv_cache_memory_bytes=_ENOUGH_BYTES,
    ).create_engine_config()


def _cache_config(config: Any, layout: str) -> Any:
    """Return the KV cache configuration that vLLM would give to a connector."""
    import torch
    from vllm.config import set_current_vllm_config
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.platforms import current_platform
    from vllm.utils.torch_utils import set_default_torch_dtype
    from vllm.v1.core.kv_cache_utils import get_kv_cache_configs
    from vllm.v1.core.single_type_kv_cache_manager import register_all_kvcache_specs
    from vllm.v1.worker.gpu.attn_utils import get_kv_cache_spec
    from vllm.v1.worker.workspace import init_workspace_manager

    init_workspace_manager(torch.device("cpu"))
    with set_current_vllm_config(config):
        _join_world()
        with set_default_torch_dtype(config.model_config.dtype), _device(config, torch):
            initialize_model(config)
        current_platform.update_block_size_for_backend(config)
        register_all_kvcache_specs(config)
        config.cache_config.kv_cache_layout = layout
        (cache,) = get_kv_cache_configs(config, [get_kv_cache_spec(config)], [_ENOUGH_BYTES])
    return cache


def _device(config: Any, torch: Any) -> Any:
    """Return the meta device, unless the model's constructor reads values of its tensors."""
    reads = "Gemma3n" in config.model_config.architectures[0]
    return torch.device("cpu" if reads else "meta")


def _join_world() -> None:
    from vllm.distributed import init_distributed_environment, initialize_model_parallel

    with tempfile.TemporaryDirectory() as folder:
        init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, "gloo")
        initialize_model_parallel(1, 1)


def _group(group: Any) -> dict[str, object]:
    """Describe a group by its own page, and by the kinds of pages that its layers have."""
    from vllm.v1.kv_cache_interface import get_kv_cache_spec_kind

    spec = group.kv_cache_spec
    by_layer = getattr(spec, "kv_cache_specs", dict.fromkeys(group.layer_names, spec))
    kinds = Counter(json.dumps(_page(of_layer)) for of_layer in by_layer.values())
    return {
        "kind": get_kv_cache_spec_kind(spec).value,
        "spec": type(spec).__name__,
        "block_tokens": spec.block_size,
        "layers": len(group.layer_names),
        "first_layer": group.layer_names[0],
        "is_eagle": group.is_eagle_group,
        "is_prefix_cacheable": spec.prefix_cacheable,
        "pages": [{"layers": count, **json.loads(page)} for page, count in kinds.items()],
    }


def _page(spec: Any) -> dict[str, object]:
    """Describe a layer's page by the fields that its kind has."""
    renamed = {
        "sliding_window": "window_tokens",
        "attention_chunk_size": "chunk_tokens",
        "tokens_per_state": "tokens_per_state",
        "num_kv_heads": "heads",
        "head_size": "head_size",
        "head_size_v": "head_size_v",
        "dtype": "dtype",
        "num_head_slots": "head_slots",
        "state_content_bytes": "content_bytes",
        "page_size_padded": "padded_bytes",
        "shapes": "state_shapes",
        "dtypes": "state_dtypes",
    }
    found = {new: getattr(spec, name, None) for name, new in renamed.items()}
    plain = {name: _plain(value) for name, value in found.items() if value is not None}
    return {"spec": type(spec).__name__, **plain, "page_bytes": spec.page_size_bytes}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, int) else str(value).removeprefix("torch.")


class _Hollow(MetaPathFinder, Loader):
    """Finds an empty module wherever a package for GPUs or images is imported."""

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in _HOLLOW else None

    def create_module(self, spec: ModuleSpec) -> Any:
        return MagicMock(name=spec.name)

    def exec_module(self, module: Any) -> None:
        pass


def _readable(made: object) -> str:
    """Render JSON with one line for each list of plain values."""
    text = json.dumps(made, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda it: " ".join(it[0].split()), text) + "\n"


def _claim_what_a_cpu_lacks() -> None:
    import torch
    from vllm.platforms.cpu import CpuPlatform
    from vllm.triton_utils import triton
    from vllm.v1.attention.backends.registry import AttentionBackendEnum

    real = CpuPlatform.get_attn_backend_cls.__func__

    def backend(cls: Any, selected: Any, attn_selector_config: Any, **others: Any) -> str:
        if attn_selector_config.use_sparse:
            return AttentionBackendEnum.FLASHMLA_SPARSE.get_path()
        return real(cls, selected, attn_selector_config, **others)

    CpuPlatform.get_attn_backend_cls = classmethod(backend)
    torch.cpu._is_amx_tile_supported = lambda: True
    torch.cuda.Stream = torch.cuda.Event = MagicMock
    torch.accelerator.empty_cache = lambda: None
    triton.set_allocator = lambda allocator: None
    sys.meta_path.append(_Hollow())


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what vLLM prints to standard error."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)


def _in_a_child(family: Family) -> None:
    """Write the record of ``family``; a process takes one configuration only."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        with tempfile.TemporaryDirectory() as folder, _quiet():
            made = record(family, Path(folder))
        (FOLDER / family.file).write_text(_readable(made))
        print(f"{family.name}: {len(made['groups'])} groups", flush=True)
    except BaseException as error:  # noqa: BLE001 - a family that can't be built is reported
        traceback.print_exc()
        print(f"{family.name}: not computed, {type(error).__name__}: {error}", flush=True)
    finally:
        sys.stdout.flush()
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="families; all if none is named")
    names = parser.parse_args().names
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    _import_vllm()
    _claim_what_a_cpu_lacks()
    for family in FAMILIES:
        if not names or family.name in names:
            _in_a_child(family)


if __name__ == "__main__":
    main()
