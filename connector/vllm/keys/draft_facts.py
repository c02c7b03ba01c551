"""Says what a key covers of speculative decoding: a draft's cache lies in the chunks, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.connector.vllm.weights.draft import WITHOUT_CACHE

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def draft_facts(vllm_config: VllmConfig) -> dict[str, object] | None:
    """Return the method, the length and the architecture of the draft; None where it has no cache.

    Its weights are among those of the model.
    """
    draft = vllm_config.speculative_config
    if draft is None or draft.method in WITHOUT_CACHE:
        return None
    config = draft.draft_model_config.hf_config
    return {
        "method": draft.method,
        "tokens": draft.num_speculative_tokens,
        "architectures": list(config.architectures or ()),
    }
