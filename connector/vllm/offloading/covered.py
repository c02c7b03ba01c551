"""Says what the tier's keys cover beside vLLM's block hashes, and refuses what they can't cover.

vLLM's hashes name the tokens, the salt, prompt embeddings, adapters by name and path, and media by
name. The rest is found where vLLM puts its configuration together, because the tier itself is told
little of it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
from copy import deepcopy
from typing import TYPE_CHECKING

from kvtransfer.chunks.keys import namespace
from kvtransfer.connector.vllm.keys.draft_facts import draft_facts
from kvtransfer.connector.vllm.keys.key_builder import configured_facts, media_facts
from kvtransfer.connector.vllm.keys.weights_files import weights_in_files
from kvtransfer.connector.vllm.offloading.places import COVERED, our_tiers, own_settings
from kvtransfer.connector.vllm.offloading.settings import read_settings
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig

    from kvtransfer.config import TransferConfig

_LOG = logging.getLogger("kvtransfer")
_HASHES = ("sha256", "sha256_cbor")


def tell_tiers(vllm_config: VllmConfig) -> None:
    """Check the configuration of each of our tiers, and add to it what its keys cover.

    Raises:
        ConfigError: the message names the setting or the option, and the fix.
    """
    transfer = vllm_config.kv_transfer_config
    if not any(our_tiers(transfer)):
        return
    # The caller's dictionaries stay as they are.
    transfer.kv_connector_extra_config = deepcopy(transfer.kv_connector_extra_config)
    for tier in our_tiers(transfer):
        # The tier will warn of odd settings, once.
        config = read_settings(own_settings(tier), tell=lambda _, said: _LOG.debug(said))
        refuse_uncovered(vllm_config, config)
        tier[COVERED] = covered_by_keys(vllm_config, config)


def covered_by_keys(vllm_config: VllmConfig, config: TransferConfig) -> str:
    """Return a digest of everything that shapes a row's bytes, as far as the configuration tells.

    Raises:
        ConfigError: nothing tells which weights are loaded.
    """
    weights = config.weights_name or weights_in_files(vllm_config)
    facts = {
        **configured_facts(vllm_config),
        **_layout_facts(vllm_config),
        "weights": weights,
        "loading": [vllm_config.load_config.load_format, vllm_config.model_config.code_revision],
        "draft": draft_facts(vllm_config),
        "media": media_facts(vllm_config),
        "hash": vllm_config.cache_config.prefix_caching_hash_algo,
    }
    return hashlib.sha256(namespace(facts)).hexdigest()


def refuse_uncovered(vllm_config: VllmConfig, config: TransferConfig) -> None:
    """Refuse what shapes a row's bytes and is neither in vLLM's hashes nor in ``covered_by_keys``.

    Raises:
        ConfigError: the message names the option, and the fix.
    """
    algorithm = vllm_config.cache_config.prefix_caching_hash_algo
    if algorithm not in _HASHES:
        raise ConfigError(
            f"prefix_caching_hash_algo={algorithm} makes hashes that differ in every process or "
            f"that prompts can be made to share; write {' or '.join(_HASHES)}"
        )
    if vllm_config.lora_config is not None:
        raise ConfigError(
            "vLLM's hashes name a LoRA adapter by name and path, not by what it holds; use "
            "KVTransferConnector with enable_lora, or leave the adapters out"
        )
    if vllm_config.model_config.is_multimodal_model and not config.trust_media_uuids:
        raise ConfigError(
            "vLLM's hashes name an image by its content or by what the caller calls it, and nothing "
            "tells which; set trust_media_uuids to true if no caller gives two images one name"
        )
    nodes = vllm_config.parallel_config.nnodes_within_dp
    if nodes > 1 or vllm_config.parallel_config.distributed_executor_backend == "ray":
        raise ConfigError(
            f"the workers of an engine may be on several machines (nnodes={nodes}, executor "
            f"{vllm_config.parallel_config.distributed_executor_backend}), and vLLM's offloading "
            "sees one; use the executor mp on one machine"
        )


def _layout_facts(vllm_config: VllmConfig) -> dict[str, object]:
    """What decides how a page is laid out, by vLLM's own account."""
    import torch
    import vllm
    from vllm.platforms import current_platform

    device = current_platform.device_type
    is_cpu = device == "cpu"
    built_for = torch.backends.cpu.get_cpu_capability() if is_cpu else ""
    return {
        "vllm": vllm.__version__,
        "cache": vllm_config.cache_config.compute_hash(),
        "attention": vllm_config.attention_config.compute_hash(),
        "v2_model_runner": bool(vllm_config.use_v2_model_runner),
        "flashinfer": _version("flashinfer-python"),
        "device": [device, current_platform.get_device_name(), platform.machine(), built_for],
    }


def _version(package: str) -> str | None:
    """The version of an attention backend that vLLM takes if it is there; None: it is not."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
