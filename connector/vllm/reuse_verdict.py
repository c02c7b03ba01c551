"""Refuses models and options for which vLLM itself reuses no cached prefix.

``enable_prefix_caching`` alone doesn't tell, since users turn vLLM's own cache off when a connector
is their cache. Each of vLLM's reasons is therefore checked by itself. A test compares ``VERDICTS``
with vLLM's source.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vllm.config import VllmConfig
    from vllm.v1.kv_cache_interface import KVCacheConfig

_WITHOUT_INVARIANT_REUSE = {"FLASHINFER", "TRITON_MLA"}


@dataclass(frozen=True)
class Verdict:
    """Describes one place in vLLM that rules reuse out, and how we treat it."""

    place: str
    """``file::function`` below vLLM's package."""
    reason: str
    """The end of "a cached prefix can't be used again for ...", or where else this is handled."""
    applies: Callable[[VllmConfig], bool] | None = None
    """Whether the configuration meets this reason; None: it isn't decided by the configuration."""


def _is_mla_on_cpu(vllm_config: VllmConfig) -> bool:
    from vllm.platforms import current_platform

    # With AMX vLLM leaves its prefix caching on.
    is_off = not vllm_config.cache_config.enable_prefix_caching
    return is_off and bool(current_platform.is_cpu() and vllm_config.model_config.use_mla)


def _is_on_riscv(vllm_config: VllmConfig) -> bool:
    from vllm.platforms import CpuArchEnum, current_platform

    is_riscv = current_platform.get_cpu_architecture() == CpuArchEnum.RISCV
    return bool(current_platform.is_cpu() and is_riscv)


def _is_of_unsupported_type(vllm_config: VllmConfig) -> bool:
    return not vllm_config.model_config.is_prefix_caching_supported


def _is_unlimited_ocr(vllm_config: VllmConfig) -> bool:
    return "UnlimitedOCRForCausalLM" in (vllm_config.model_config.architectures or ())


def _is_encoder_only(vllm_config: VllmConfig) -> bool:
    return bool(getattr(vllm_config, "is_mm_encoder_only", False))


VERDICTS = (
    Verdict(
        "platforms/cpu.py::CpuPlatform.check_and_update_config",
        "multi-head latent attention (MLA) on a CPU, where vLLM turns prefix caching off",
        _is_mla_on_cpu,
    ),
    Verdict(
        "engine/arg_utils.py::EngineArgs._set_default_chunked_prefill_and_prefix_caching_args",
        "any model on a RISC-V CPU",
        _is_on_riscv,
    ),
    Verdict(
        "config/model.py::ModelConfig.is_prefix_caching_supported",
        "a model with this attention or pooling, by vLLM's own judgement",
        _is_of_unsupported_type,
    ),
    Verdict(
        "model_executor/models/config.py::UnlimitedOCRForCausalLMConfig.verify_and_update_config",
        "Unlimited-OCR, whose attention leaves generated tokens out",
        _is_unlimited_ocr,
    ),
    Verdict(
        "config/vllm.py::VllmConfig.__post_init__",
        "an instance that runs the multi-modal encoder only",
        _is_encoder_only,
    ),
    Verdict("v1/engine/core.py::EngineCore._initialize_kv_caches", "see refuse_groups"),
    Verdict("v1/kv_cache_interface.py::*.prefix_cacheable", "see refuse_groups"),
    Verdict(
        "model_executor/layers/attention/attention.py::Attention.__init__", "see refuse_layers"
    ),
    Verdict(
        "model_executor/layers/attention/mla_attention.py::MLAAttention.__init__",
        "see refuse_layers",
    ),
    Verdict("sampling_params.py::SamplingParams.__post_init__", "such a request has no keys"),
    Verdict("pooling_params.py::PoolingParams.verify", "such a request has no keys"),
    Verdict("pooling_params.py::PoolingParams._merge_default_parameters", "it has no keys"),
    Verdict("v1/request.py::Request.__init__", "it has no keys"),
)


def refuse_model(vllm_config: VllmConfig) -> None:
    """Refuse a model, a platform or an option for which vLLM itself reuses nothing.

    Raises:
        ConfigError: the message says for which of these reasons.
    """
    for verdict in VERDICTS:
        if verdict.applies is not None and verdict.applies(vllm_config):
            raise ConfigError(
                f"a cached prefix can't be used again for {verdict.reason}; this is not "
                "supported, run it without the connector"
            )


def refuse_groups(kv_cache_config: KVCacheConfig) -> None:
    """Refuse caches whose tokens depend on later ones.

    Raises:
        ConfigError: the message names the first such layer.
    """
    for group in kv_cache_config.kv_cache_groups:
        if getattr(group.kv_cache_spec, "non_causal", False):
            raise ConfigError(
                f"a cached prefix can't be used again in {group.layer_names[0]} and layers like "
                "it, by vLLM's own judgement; this model is not supported"
            )


def refuse_layers(vllm_config: VllmConfig) -> None:
    """Refuse attention that isn't batch-invariant over a cached prefix, if the user asked for that.

    Only a worker can call this: the layers are in its process.

    Raises:
        ConfigError: the message names the attention backend and another one.
    """
    from vllm import envs

    if not envs.VLLM_BATCH_INVARIANT:
        return
    for layer in vllm_config.compilation_config.static_forward_context.values():
        backend = getattr(layer, "attn_backend", None)
        if backend is not None and backend.get_name() in _WITHOUT_INVARIANT_REUSE:
            raise ConfigError(
                f"VLLM_BATCH_INVARIANT=1 with {backend.get_name()}: vLLM does not reuse a cached "
                "prefix then; set --attention-backend FLASH_ATTN, or leave the connector out"
            )
