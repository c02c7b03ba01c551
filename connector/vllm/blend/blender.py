"""Does a worker's part of a blend that needs the model: how keys rotate, and gaps between them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from vllm.distributed.parallel_state import get_tp_group

from kvtransfer.connector.vllm.blend.gap_forward import GapForward
from kvtransfer.connector.vllm.blend.rotary import rotation_of
from kvtransfer.connector.vllm.blend.rotation_check import rotation_errors
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.config import VllmConfig

    from kvtransfer.chunks.paged import PagedCaches
    from kvtransfer.connector.vllm.caches.model_facts import ModelFacts
    from kvtransfer.kernels import Rotation
    from kvtransfer.plan import GapJob


class Blender:
    """Computes gaps on one worker, of a model that has shown that its keys can be moved.

    Only the worker's main thread may use it. All tensor-parallel ranks must make the same calls in
    the same order: each of ``prepare`` and ``compute`` waits for the others.

    Args:
        runner: vLLM's model runner, old or new; its caches are registered.
        vllm_config: its configuration.
        layer_names: the attention layers whose keys the caches hold.
        caches: views of vLLM's caches of these layers; several if each has some of the heads.
    """

    def __init__(
        self,
        runner: Any,
        vllm_config: VllmConfig,
        layer_names: Sequence[str],
        caches: Sequence[PagedCaches],
    ) -> None:
        self._runner = runner
        self._vllm_config = vllm_config
        self._layer_names = layer_names
        self._caches = caches
        self._forward = GapForward(runner, vllm_config)
        self._is_checked = False
        self._refusal: str | None = None

    @classmethod
    def of(
        cls,
        worker: Any,
        vllm_config: VllmConfig,
        facts: ModelFacts,
        paged: Sequence[Sequence[PagedCaches]],
    ) -> Blender:
        """Return the blender of vLLM's ``worker``, which has registered its caches.

        Args:
            worker: as ``calling_worker`` finds it.
            vllm_config: its configuration, for which ``why_refused`` has no reason.
            facts: what the model keeps: one cache group with one kind of pages.
            paged: the views that ``paged_caches`` has made of the caches.
        """
        ((group,), (caches,)) = facts.cache_groups, paged
        (section,) = group.sections
        return cls(worker.model_runner, vllm_config, section.layer_names, caches)

    @cached_property
    def rotation(self) -> Rotation:
        """How the model rotates its keys; its table is the model's own, and is only read.

        It is read when it is first asked for. Ask once the model has run, as it has before vLLM
        registers caches: it may change the dtype of the table when it first uses it.

        Raises:
            ConfigError: its keys can't be moved; the message names the layer and the reason.
        """
        modules = dict(self._runner.get_model().named_modules(remove_duplicate=False))
        owners = {name: modules.get(name.rpartition(".")[0]) for name in self._layer_names}
        rotaries = {name: getattr(owner, "rotary_emb", None) for name, owner in owners.items()}
        return rotation_of(rotaries, self._caches[0].chunk)

    def prepare(self, block_ids: Sequence[int]) -> None:
        """Check once, by two small forwards, that the model's keys move by ``rotation``.

        Args:
            block_ids: the manager's blocks that the check may write, one or more. They hold nothing
                yet, and no copy into them is under way; afterwards they hold nothing of use.

        Raises:
            ConfigError: they don't, and blending is off for this model: now and at every later
                call, on all ranks. The message says what was found.
        """
        if not self._is_checked:
            self._refusal = self._why_refused(block_ids)
            self._is_checked = True
        if self._refusal is not None:
            raise ConfigError(self._refusal)

    def compute(self, jobs: Sequence[GapJob]) -> None:
        """Compute the gaps of ``jobs``; see :meth:`GapForward.run`.

        ``prepare`` has been called before, and has not raised.
        """
        self._forward.run(jobs)

    def _why_refused(self, block_ids: Sequence[int]) -> str | None:
        vocabulary = self._vllm_config.model_config.get_vocab_size()
        try:
            errors = rotation_errors(
                self._forward, self._caches, self.rotation, block_ids, vocabulary
            )
            errors.of_all_ranks(get_tp_group().cpu_group).refuse_wrong()
        except ConfigError as error:
            return str(error)
        return None
