"""Says which weights a model's files hold, for keys that are made without asking a worker."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import blake3

from kvtransfer.errors import ConfigError
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from vllm.config import ModelConfig, VllmConfig

_LOG = logging.getLogger("kvtransfer")
# Formats in which vLLM reads the files of the model's folder, and nothing else.
_FROM_FILES = frozenset({"auto", "bitsandbytes", "gguf", "hf", "mistral", "pt", "safetensors"})
_SNAPSHOT = re.compile(r"/models--([^/]+)/snapshots/([0-9a-f]{40})/*$")


def weights_in_files(vllm_config: VllmConfig) -> list[str]:
    """Name the weights of the model, and of its draft where that has its own.

    A model of the hub goes by its name and commit; any other by the content of its files.

    Raises:
        ConfigError: the weights don't come from files, or their commit isn't known.
    """
    if vllm_config.load_config.load_format not in _FROM_FILES:
        raise _untold(
            f"load_format={vllm_config.load_config.load_format} reads no files of weights"
        )
    models = [vllm_config.model_config]
    draft = getattr(vllm_config.speculative_config, "draft_model_config", None)
    if draft is not None and draft.model != models[0].model:
        models.append(draft)
    return [_weights_of(model) for model in models]


def _weights_of(model: ModelConfig) -> str:
    if getattr(model, "model_weights", ""):
        place = masked(model.model_weights)
        raise _untold(f"the weights of {model.model} are streamed from {place}")
    path = Path(model.model)
    commit = getattr(model.hf_config, "_commit_hash", None)
    if found := _SNAPSHOT.search(str(path)):
        return f"hub {found[1].replace('--', '/')} {found[2]}"
    if path.exists():
        _LOG.info("reading %s to name its weights in keys; weights_name saves that", path)
        return f"files {_digest(path)}"
    if commit is None or getattr(model, "hf_config_path", None):
        raise _untold(f"nothing tells which commit of {model.model} is loaded")
    return f"hub {model.model} {commit}"


def _digest(path: Path) -> str:
    """The digest of the names and contents of the file ``path``, or of those in the folder."""
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    digest = blake3.blake3()
    for file in files:
        content = blake3.blake3(max_threads=blake3.blake3.AUTO)
        if file.stat().st_size:
            content.update_mmap(file)
        digest.update(blake3.blake3(file.name.encode()).digest() + content.digest())
    return digest.hexdigest()


def _untold(reason: str) -> ConfigError:
    return ConfigError(
        f"{reason}, so keys can't say which weights they are for; set weights_name to a word of "
        "yours that changes with them"
    )
