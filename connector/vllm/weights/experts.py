"""The weights of experts that lie on other engines.

With expert parallelism over data-parallel engines, each holds some experts only, and all of them
compute every request together. What one of them computes is told by what all of them hold.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def are_spread(vllm_config: VllmConfig) -> bool:
    """Whether experts of the model lie on other engines.

    Where engines come and go (elastic expert parallelism), none waits for the others: there each
    caches for itself.
    """
    parallel = vllm_config.parallel_config
    spread = parallel.enable_expert_parallel and parallel.data_parallel_size > 1
    return bool(spread and not parallel.enable_elastic_ep and vllm_config.model_config.is_moe)


def of_all_experts(fingerprint: str) -> str:
    """The fingerprint of the weights of all workers that share the experts.

    To be called once, by all of them together, as they start: each waits for the others.
    """
    from vllm.distributed.parallel_state import get_ep_group

    return combined(fingerprint, get_ep_group().cpu_group)


def combined(fingerprint: str, group: Any) -> str:
    """One name, the same in every process of ``group``, for what all of them hold in their order."""
    own = torch.frombuffer(bytearray(fingerprint.encode()), dtype=torch.uint8)
    all_held = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size(group))]
    torch.distributed.all_gather(all_held, own, group=group)
    names = [bytes(held.numpy()).decode() for held in all_held]
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:32]
