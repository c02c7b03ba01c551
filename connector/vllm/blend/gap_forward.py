"""Computes gaps of requests by a forward of vLLM's model, between the steps that vLLM schedules."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from vllm.forward_context import set_forward_context
from vllm.v1.attention.backend import CommonAttentionMetadata

from kvtransfer.connector.vllm.blend.attention_groups import AttentionGroups
from kvtransfer.connector.vllm.blend.gap_batch import GapBatch
from kvtransfer.connector.vllm.blend.gap_rows import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from vllm.config import VllmConfig

    from kvtransfer.plan import GapJob


class GapForward:
    """Writes the keys and values of gaps into the cache, as if vLLM had computed them there.

    It shares the model, the caches and the current stream with vLLM's runner, so only the worker's
    main thread may use it, and not while a forward of the runner is under way. All tensor-parallel
    ranks must run the same jobs in the same order: the model's layers wait for each other.

    Args:
        runner: vLLM's model runner, old or new; its caches are registered.
        vllm_config: its configuration. A forward is no larger than a step may be, so that it fits
            the memory and the buffers that vLLM has set aside for one.
    """

    def __init__(self, runner: Any, vllm_config: VllmConfig) -> None:
        self._runner = runner
        self._vllm_config = vllm_config
        self._max_tokens = vllm_config.scheduler_config.max_num_batched_tokens
        self._max_rows = vllm_config.scheduler_config.max_num_seqs

    @torch.inference_mode()
    def run(self, jobs: Sequence[GapJob], first_position: int = 0) -> None:
        """Compute the gaps of ``jobs``, in as few forwards as vLLM's limits allow.

        Everything before a gap must be in the request's blocks, on the current stream at the latest,
        unless it is a gap itself. On a GPU the forwards are launched and not waited for.

        Args:
            jobs: gaps of any number of requests; each request's blocks from its first token on.
            first_position: where the model is told that each request begins. Anything but 0 is an
                experiment: the keys are those of other positions than the tokens'.

        Raises:
            ValueError: a job contradicts itself; the message names it.
            ConfigError: the runner keeps more than one cache group.
        """
        for rows in batches(jobs, self._max_tokens, self._max_rows):
            self._forward(GapBatch.of(rows, self._groups.block_tokens), first_position)

    @cached_property
    def _groups(self) -> AttentionGroups:
        """Our own builders of metadata; made at the first forward, when there is something to build."""
        return AttentionGroups(self._runner, self._vllm_config)

    def _forward(self, batch: GapBatch, first_position: int) -> None:
        token_ids, positions, slots = (
            self._on_device(torch.from_numpy(array))
            for array in (batch.token_ids, batch.positions + first_position, batch.slots)
        )
        metadata = self._groups.metadata(self._common(batch, slots, positions))
        with set_forward_context(
            metadata,
            self._vllm_config,
            num_tokens=batch.tokens,
            slot_mapping=dict.fromkeys(self._groups.layer_names, slots),
            skip_compiled=True,  # what is compiled, or captured in graphs, is for a step's sizes
        ):
            # The model itself, without the wrappers that replay graphs or cut a step in two.
            self._runner.get_model()(
                input_ids=token_ids,
                positions=positions,
                intermediate_tensors=None,
                inputs_embeds=None,
            )

    def _common(self, batch: GapBatch, slots: Tensor, positions: Tensor) -> CommonAttentionMetadata:
        """Describe the forward as vLLM describes a step: each row is the next part of a prompt."""
        row_starts, row_ends = torch.from_numpy(batch.row_starts), torch.from_numpy(batch.row_ends)
        return CommonAttentionMetadata(
            query_start_loc=self._on_device(row_starts),
            query_start_loc_cpu=row_starts,
            seq_lens=self._on_device(row_ends),
            seq_lens_cpu_upper_bound=row_ends,
            num_reqs=batch.rows,
            num_actual_tokens=batch.tokens,
            max_query_len=batch.longest_row,
            max_seq_len=batch.longest_context,
            block_table_tensor=self._on_device(torch.from_numpy(batch.block_table)),
            slot_mapping=slots,
            causal=True,
            positions=positions,
            is_prefilling=torch.ones(batch.rows, dtype=torch.bool),
        )

    def _on_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._runner.device, non_blocking=True)
