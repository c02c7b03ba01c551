"""Fingerprints the weights of a worker's model, again whenever they may have changed."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import TYPE_CHECKING, Any

from kvtransfer.connector.vllm.weights.draft import draft_model
from kvtransfer.connector.vllm.weights.experts import are_spread, of_all_experts
from kvtransfer.connector.vllm.weights.of_model import UnknownWeightsError, fingerprint, named
from kvtransfer.connector.vllm.weights.worker_watch import note_loading, touches
from kvtransfer.requests.keys.weights import UNKNOWABLE, Holding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vllm.config import VllmConfig

    from kvtransfer.requests.keys.weights import Expectation

_LOG = logging.getLogger("kvtransfer")
_NO_NAME = "0" * 32


class HeldWeights:
    """Knows which weights vLLM's ``worker`` holds.

    Only the worker's main thread may call it, between two steps of the model. What ``page_facts``
    tells of the pages is in the fingerprint too, because only a worker knows it. ``name`` is the
    operator's word for the weights that are loaded first: they go by it until they change.
    """

    def __init__(
        self,
        worker: Any,
        vllm_config: VllmConfig,
        pages: Sequence[str] = (),
        name: str | None = None,
    ) -> None:
        self._worker = worker
        note_loading(worker.get_model(), worker)
        self._vllm_config = vllm_config
        self._pages = pages
        self._read_touches = touches(worker)
        self._own = self._read()
        self.holding = Holding(self._shared_name(name), 0)

    def check(self, expected: Expectation) -> bool:
        """Read the weights again if they may have changed; return whether they have."""
        own, name = self._own, self.holding.fingerprint
        if expected.reread or touches(self._worker) != self._read_touches:
            self._read_touches = touches(self._worker)
            own = self._read()
        have_changed = own != self._own
        self._own = own
        self.holding = Holding(own if have_changed else name, expected.plan)
        return have_changed

    def _shared_name(self, name: str | None) -> str:
        """Return what other engines that hold the same weights call them, too."""
        if name is not None:
            model, quantization = self._worker.get_model(), self._vllm_config.quant_config
            return self._own and self._with_draft(named(name, model, quantization, self._pages))
        if are_spread(self._vllm_config):
            of_all = of_all_experts(self._own or _NO_NAME)
            return self._own and of_all
        return self._own

    def _fingerprint(self) -> str:
        model, quantization = self._worker.get_model(), self._vllm_config.quant_config
        return self._with_draft(fingerprint(model, quantization, self._pages))

    def _with_draft(self, found: str) -> str:
        """Combine the name of the model's weights with the fingerprint of its draft's, if any."""
        draft = draft_model(self._worker, self._vllm_config)
        if draft is None:
            return found
        both = found + fingerprint(draft, self._vllm_config.speculative_config.quantization)
        return hashlib.sha256(both.encode()).hexdigest()[: len(found)]

    def _read(self) -> str:
        began_s = time.perf_counter()
        try:
            if _are_swapped(self._vllm_config):
                raise UnknownWeightsError("offload_backend=prefetch moves them while steps run")
            found = self._fingerprint()
        except UnknownWeightsError as error:
            _LOG.warning("nothing is cached: the weights can't be told from others, for %s", error)
            return UNKNOWABLE
        _LOG.info("weights %s, read in %.2f s", found, time.perf_counter() - began_s)
        return found


def _are_swapped(vllm_config: VllmConfig) -> bool:
    """Say whether vLLM keeps the weights in host memory and copies them in as steps need them."""
    offload = vllm_config.offload_config
    if offload.offload_backend == "auto":
        return bool(offload.prefetch.offload_group_size > 0)
    return bool(offload.offload_backend == "prefetch")
