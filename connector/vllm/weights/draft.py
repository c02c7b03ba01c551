"""Finds the draft model of speculative decoding, whose cache lies in the chunks beside the model's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtransfer.connector.vllm.weights.of_model import UnknownWeightsError

if TYPE_CHECKING:
    from torch import nn
    from vllm.config import VllmConfig

WITHOUT_CACHE = frozenset({"medusa", "mlp_speculator", "ngram", "ngram_gpu", "suffix"})
"""vLLM's methods whose drafts need no KV cache of their own."""
WITH_CACHE = frozenset({"draft_model", "eagle", "eagle3", "mtp"})
"""vLLM's methods whose drafts keep layers of the KV cache, and that we serve."""


def draft_model(worker: Any, vllm_config: VllmConfig) -> nn.Module | None:
    """Return the draft model of vLLM's ``worker``; None where no draft has a cache.

    The last pipeline stage alone has it.

    Raises:
        UnknownWeightsError: there should be one, and it isn't where we know to look.
    """
    from vllm.distributed.parallel_state import get_pp_group

    draft = vllm_config.speculative_config
    if draft is None or draft.method in WITHOUT_CACHE or not get_pp_group().is_last_rank:
        return None
    runner = worker.model_runner
    for place in ("drafter", "speculator"):  # vLLM's older runner, and its newer one
        model = getattr(getattr(runner, place, None), "model", None)
        if model is not None:
            found: nn.Module = model
            return found
    raise UnknownWeightsError(f"the draft model of {draft.method!r} wasn't found")
