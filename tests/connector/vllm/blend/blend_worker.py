"""What vLLM's worker does for the tests of this folder, beside its own methods."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from kvtransfer.config import TransferConfig
from kvtransfer.connector.vllm.blend.blender import Blender
from kvtransfer.connector.vllm.blend.gap_forward import GapForward
from kvtransfer.connector.vllm.blend.verdict import why_refused
from kvtransfer.connector.vllm.caches import model_facts
from kvtransfer.errors import ConfigError
from kvtransfer.kernels.reference import gather_blocks, plane_shape, scatter_blocks
from kvtransfer.plan import GapJob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.kernels import Rotation

MISTAKES: dict[str, Callable[[Rotation], Rotation]] = {
    "none": lambda rotation: rotation,
    "pairing": lambda rotation: replace(rotation, pairing="interleaved"),
    "speed": lambda rotation: replace(rotation, table=rotation.table[::2]),
    "stillness": lambda rotation: replace(rotation, table=rotation.table[:1].expand(4096, -1)),
}


class BlendWorker:
    """The option ``worker_extension_cls``: vLLM derives its worker from this, too."""

    vllm_config: Any
    model_runner: Any

    @cached_property
    def _facts(self) -> model_facts.ModelFacts:
        config = TransferConfig.load({"chunk_size": 64})
        return model_facts.describe(self.vllm_config, self.model_runner.kv_cache_config, config)

    @cached_property
    def _paged(self) -> list[list[PagedCaches]]:
        layers = self.vllm_config.compilation_config.static_forward_context
        caches = {name: layer.kv_cache for name, layer in layers.items()}
        return model_facts.paged_caches(self._facts, caches)

    @cached_property
    def _gap_forward(self) -> GapForward:
        return GapForward(self.model_runner, self.vllm_config)

    def why_blending_is_refused(self) -> str | None:
        return why_refused(self.vllm_config, self._facts)

    def recompute_gaps(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """Spoil the gaps of ``requests``, compute them again, and compare with what was there.

        Each has the ``prompt``, its ``block_ids`` and its ``gaps``.
        """
        jobs = [_job(number, **request) for number, request in enumerate(requests)]
        before = [self._held(job.block_ids) for job in jobs]
        for job, held in zip(jobs, before, strict=True):
            self._spoil(job, held)
        with _counted_forwards(self.model_runner.get_model()) as forwards:
            self._gap_forward.run(jobs)
        found: dict[str, Any] = {"forwards": list(forwards), "in_gaps": 0.0, "elsewhere": 0.0}
        found["kernel_tokens"] = plane_shape(self._paged[0][0].planes[0])[1]
        for job, held in zip(jobs, before, strict=True):
            off = (self._held(job.block_ids) - held).abs() / held.abs().max()
            is_gap = torch.zeros(off.shape[1], dtype=torch.bool)
            for start, end in job.gaps:
                is_gap[start:end] = True
            found["in_gaps"] = max(found["in_gaps"], float(off[:, is_gap].max()))
            found["elsewhere"] = max(found["elsewhere"], float(off[:, ~is_gap].max()))
        return found

    def _held(self, block_ids: Sequence[int]) -> torch.Tensor:
        caches = self._paged[0][0]
        _, heads, dim = caches.chunk.plane_shape
        tokens = len(block_ids) * caches.block_tokens
        held = torch.empty((len(caches.planes), tokens, heads, dim), dtype=caches.planes[0].dtype)
        gather_blocks(caches.planes, caches.kernel_blocks(block_ids), held)
        return held

    def _spoil(self, job: GapJob, held: torch.Tensor) -> None:
        caches, spoiled = self._paged[0][0], held.clone()
        for start, end in job.gaps:
            spoiled[:, start:end] = torch.randn_like(spoiled[:, start:end])
        scatter_blocks(spoiled, caches.planes, caches.kernel_blocks(job.block_ids))

    def prepare_blending(self, block_ids: list[int], mistake: str) -> list[str | None]:
        """What two calls in a row of ``prepare`` say, and how many forwards both take.

        ``mistake`` is one of :data:`MISTAKES`, in what a blender takes for the model's rotation.
        """
        blender = Blender.of(self, self.vllm_config, self._facts, self._paged)
        blender.rotation = MISTAKES[mistake](blender.rotation)  # a cached property
        with _counted_forwards(self.model_runner.get_model()) as forwards:
            said = [_refusal(blender, block_ids) for _ in range(2)]
        return [*said, str(len(forwards))]


def _job(
    number: int, prompt: list[int], block_ids: list[int], gaps: list[tuple[int, int]]
) -> GapJob:
    ids = [token for start, end in gaps for token in prompt[start:end]]
    return GapJob(number, tuple(block_ids), tuple(map(tuple, gaps)), tuple(ids))


def _refusal(blender: Blender, block_ids: list[int]) -> str | None:
    try:
        blender.prepare(block_ids)
    except ConfigError as error:
        return str(error)
    return None


@contextmanager
def _counted_forwards(model: torch.nn.Module) -> Iterator[list[int]]:
    """How many tokens each forward of ``model`` computes, in a list that grows."""
    forwards: list[int] = []

    def note(module: torch.nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        forwards.append(len(kwargs["input_ids"]))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield forwards
    finally:
        hook.remove()
