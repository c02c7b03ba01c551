"""Combines the fingerprints of engines that share a model's experts.

With expert parallelism over data-parallel engines, each engine holds some experts only, and all of
them compute every request together. The bytes of a chunk therefore depend on the weights of all.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def are_spread(vllm_config: VllmConfig) -> bool:
    """Say whether other engines hold some of the model's experts, in a fixed set of engines.

    With elastic expert parallelism engines come and go and can't wait for each other, so each
    caches for itself.
    """
    parallel = vllm_config.parallel_config
    spread = parallel.enable_expert_parallel and parallel.data_parallel_size > 1
    return bool(spread and not parallel.enable_elastic_ep and vllm_config.model_config.is_moe)


def of_all_experts(fingerprint: str) -> str:
    """Return one fingerprint for the weights of all workers that share the experts.

    Each of these workers must call this once as it starts; the call waits for the others.
    """
    from vllm.distributed.parallel_state import get_ep_group

    return combined(fingerprint, get_ep_group().cpu_group)


def combined(fingerprint: str, group: Any) -> str:
    """Return a digest of the fingerprints of all processes in ``group``, the same in each."""
    own = torch.frombuffer(bytearray(fingerprint.encode()), dtype=torch.uint8)
    all_held = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size(group))]
    torch.distributed.all_gather(all_held, own, group=group)
    names = [bytes(held.numpy()).decode() for held in all_held]
    return hashlib.sha256(" ".join(names).encode()).hexdigest()[:32]
