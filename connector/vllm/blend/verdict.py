"""Says for which configurations of vLLM passages can't be blended, each with its reason.

What only the model can tell is found later: its rotary embedding by ``rotary.py``, and all else that
it does with positions by ``rotation_check.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.kernels.rotation_reference import DTYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vllm.config import VllmConfig

    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts

_ROTATED = tuple(str(dtype).removeprefix("torch.") for dtype in DTYPES)


def why_refused(vllm_config: VllmConfig, facts: ModelFacts) -> str | None:
    """Return why no passage can be blended in this engine, or None if nothing speaks against it.

    Args:
        vllm_config: of the engine; no model need be loaded.
        facts: what its model keeps.

    Returns:
        A sentence that names the option or the model and, where there is one, the fix.
    """
    return next(_reasons(vllm_config, facts), None)


def _reasons(vllm_config: VllmConfig, facts: ModelFacts) -> Iterator[str]:
    yield from _of_vllm()
    yield from _of_parallelism(vllm_config)
    yield from _of_options(vllm_config)
    yield from _of_model(vllm_config)
    yield from _of_caches(facts)


def _of_vllm() -> Iterator[str]:
    import vllm
    from vllm.v1.worker.utils import AttentionGroup

    if not hasattr(AttentionGroup, "build_metadata"):
        yield (
            f"vLLM {vllm.__version__} builds the metadata of attention in a way that gaps can't be "
            "computed with; use vLLM 0.32 or newer"
        )


def _of_parallelism(vllm_config: VllmConfig) -> Iterator[str]:
    parallel = vllm_config.parallel_config
    for name, size in (
        ("decode context", parallel.decode_context_parallel_size),
        ("prefill context", parallel.prefill_context_parallel_size),
    ):
        if size > 1:
            yield (
                f"{name} parallel size {size}: ranks share the tokens of a request, and gaps are "
                "not shared; set it to 1"
            )
    if parallel.pipeline_parallel_size > 1:
        yield (
            f"pipeline parallel size {parallel.pipeline_parallel_size}: a stage can't compute gaps "
            "before the stages ahead of it have; set it to 1"
        )
    replicas = parallel.data_parallel_size
    if replicas > 1 and vllm_config.model_config.is_moe:
        yield (
            f"data parallel size {replicas} with a mixture of experts: the engines compute in step, "
            "and gaps are computed by one of them; set it to 1"
        )
    if parallel.enable_eplb:
        yield (
            "load balancing of experts: it counts the tokens of steps, and gaps belong to none; "
            "leave out --enable-eplb"
        )


def _of_options(vllm_config: VllmConfig) -> Iterator[str]:
    draft = vllm_config.speculative_config
    if draft is not None:
        yield (
            f"speculative decoding by {draft.method!r}: drafts read what was computed with every "
            "token, and it isn't computed for tokens that are moved; leave it out"
        )
    if vllm_config.lora_config is not None:
        yield (
            "LoRA: which adapter computes a token is settled for the tokens of a step, and gaps "
            "belong to none; leave out --enable-lora"
        )
    if vllm_config.cache_config.kv_sharing_fast_prefill:
        yield (
            "fast prefill with shared caches: it computes some layers for sampled tokens only, and "
            "none of a gap is sampled; leave out --kv-sharing-fast-prefill"
        )


def _of_model(vllm_config: VllmConfig) -> Iterator[str]:
    model = vllm_config.model_config
    if model.is_encoder_decoder:
        yield f"{model.model} has an encoder and a decoder, and a passage of the prompt is in both"
    if model.rswa_window is not None:
        yield (
            f"{model.model} reads windows of {model.rswa_window} tokens behind the prompt, and all "
            "of the prompt, so that a gap's tokens would have to know where it ends"
        )


def _of_caches(facts: ModelFacts) -> Iterator[str]:
    groups = facts.cache_groups
    if not facts.groups.are_one:
        kinds = ", ".join(sorted({group.kind for group in groups}))
        yield (
            f"{facts.model_name} keeps windows or states, or several groups of caches ({kinds}): "
            "passages are moved where all layers keep all tokens"
        )
    elif len(sections := groups[0].sections) != 1:
        yield (
            f"{facts.model_name} has layers with {len(sections)} kinds of pages: keys are rotated "
            "where all layers have one"
        )
    elif sections[0].chunk.dtype not in _ROTATED:
        yield (
            f"a KV cache of {sections[0].chunk.dtype}: keys of {', '.join(_ROTATED)} can be "
            "rotated; set --kv-cache-dtype auto"
        )
