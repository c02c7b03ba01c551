"""Builds attention metadata with builders of our own, beside those of vLLM's model runner.

The runner builds the metadata of a step before it calls a connector, and builders keep state that
this metadata refers to: FlashInfer's planned wrappers, FlashAttention's schedule under full CUDA
graphs. If we built with the runner's builders, the step would compute with our state.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.attention.backend import CommonAttentionMetadata


class AttentionGroups:
    """The layers of a model by how they attend, each with a builder of metadata that is ours.

    Args:
        runner: vLLM's model runner, old or new; its caches are registered.
        vllm_config: its configuration.

    Raises:
        ConfigError: the runner keeps more than one cache group.
    """

    def __init__(self, runner: Any, vllm_config: VllmConfig) -> None:
        groups = [each for cache_group in runner.attn_groups for each in cache_group]
        if len({group.kv_cache_group_id for group in groups}) != 1:
            raise ConfigError(
                f"vLLM keeps {len(runner.attn_groups)} cache groups for this model, and gaps are "
                "computed over one; serve it without blending"
            )
        self._groups = [_with_own_builder(group, runner, vllm_config) for group in groups]
        self.block_tokens = int(self._groups[0].kv_cache_spec.block_size)
        """Tokens of one of the manager's blocks, of which tables are made."""

    @property
    def layer_names(self) -> list[str]:
        """The names of all attention layers."""
        return [name for group in self._groups for name in group.layer_names]

    def metadata(self, common: CommonAttentionMetadata) -> dict[str, Any]:
        """Return what each attention layer, by its name, reads of a forward.

        Args:
            common: describes the forward. Its table is of the manager's blocks, and is translated
                where the attention's kernel has smaller ones.
        """
        built: dict[str, Any] = {}
        for group in self._groups:
            built.update(dict.fromkeys(group.layer_names, group.build_metadata(common)))
        return built


def _with_own_builder(group: Any, runner: Any, vllm_config: VllmConfig) -> Any:
    """Return a copy of the runner's ``group`` with a new builder, and the workspace of the old one."""
    # The names of the newer runner, and of the older one.
    sizes = getattr(runner, "kernel_block_sizes", None) or runner._kernel_block_sizes
    own = copy.copy(group)
    own.create_metadata_builders(vllm_config, runner.device, sizes[group.kv_cache_group_id])
    theirs, ours = group.metadata_builders[0], own.metadata_builders[0]
    if hasattr(ours, "set_workspace_buffer") and hasattr(theirs, "_get_workspace_buffer"):
        # FlashInfer's is large. Forwards use it one after the other, as vLLM's own do.
        ours.set_workspace_buffer(theirs._get_workspace_buffer())
    return own
