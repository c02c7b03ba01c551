"""What a vLLM for tiny random models does otherwise; an engine's ``Setup`` names these functions.

They run in the engine's process before the engine is made, and change vLLM's own classes there.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

RANDOM_MODEL = ["compile_nothing", "fill_dummy_weights", "split_prompts_at_states"]
"""For every kind of :mod:`tests.connector.models.kinds`."""

_WEIGHT_STD = 0.15
_EMBEDDING_STD = 0.1
_QUERY_NORM = 2.0  # sharpens attention, so that one block among many counts


def compile_nothing() -> None:
    """Have torch run every function as it is written: to compile one for log-probabilities takes 4 s."""
    import torch

    torch.compiler.set_stance("force_eager")


def fill_dummy_weights() -> None:
    """Have ``load_format="dummy"`` make weights with which every token of a prompt counts.

    vLLM's own are within 1e-3 of zero: no answer depends on what a cache holds. They have to be
    filled as they are loaded, since linear layers for CPUs are packed right afterwards.
    """
    from vllm.model_executor.model_loader.dummy_loader import DummyModelLoader

    def load_weights(self: Any, model: nn.Module, model_config: Any) -> None:
        zero_norms = _norms_around_one(model)
        for name, parameter in model.named_parameters():
            drawn = _drawn(name, parameter, zero_norms=name in zero_norms)
            parameter.data.copy_(drawn.to(parameter.dtype))

    DummyModelLoader.load_weights = load_weights


def attend_over_blocks_of_32() -> None:
    """Have attention cut larger blocks, as kernels for GPUs do; those for CPUs take any multiple of 32."""
    from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

    def get_supported_kernel_block_sizes(kv_cache_spec: Any = None) -> list[int]:
        return [32]

    CPUAttentionBackend.get_supported_kernel_block_sizes = staticmethod(
        get_supported_kernel_block_sizes
    )


def split_prompts_at_states() -> None:
    """Have Mamba 2 compute a prompt in steps that end where a state is kept.

    It claims to export states from within a step, but its kernels for CPUs return none.
    """
    from vllm.model_executor.layers.mamba.mamba_mixer2 import MambaMixer2

    claimed = MambaMixer2.get_kv_cache_spec

    def get_kv_cache_spec(self: Any, vllm_config: Any) -> Any:
        spec = claimed(self, vllm_config)
        if spec is None:
            return None
        return replace(spec, num_prefill_checkpoint_blocks=0, prefill_checkpoint_alignment=None)

    MambaMixer2.get_kv_cache_spec = get_kv_cache_spec


def _norms_around_one(model: nn.Module) -> set[str]:
    """The weights of norms that multiply by one more than their weight."""
    from vllm.model_executor.layers.layernorm import GemmaRMSNorm

    norms = [name for name, one in model.named_modules() if isinstance(one, GemmaRMSNorm)]
    return {f"{name}.weight" for name in norms}


def _drawn(name: str, parameter: Tensor, *, zero_norms: bool) -> Tensor:
    """The values of a parameter, which are the same in every process."""
    import torch

    shape, random = parameter.shape, torch.Generator().manual_seed(zlib.crc32(name.encode()))
    last = name.rpartition(".")[2]
    if last in ("A", "A_log"):  # how fast a state decays
        rate = torch.rand(shape, generator=random) + 0.5
        return rate.log() if last == "A_log" else -0.3 * rate
    if last == "dt_bias":
        return torch.rand(shape, generator=random) - 2.0
    if last == "D":
        return torch.ones(shape)
    if last == "sinks":
        return torch.zeros(shape)
    if "q_norm" in name:
        return torch.full(shape, _QUERY_NORM)
    if "norm" in name:
        return torch.zeros(shape) if zero_norms else torch.ones(shape)
    is_embedding = "embed" in name or "lm_head" in name
    return torch.randn(shape, generator=random) * (_EMBEDDING_STD if is_embedding else _WEIGHT_STD)
