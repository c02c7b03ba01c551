"""Hashes the LoRA adapters of a worker as vLLM loads them: their tensors, not their files.

A file may be replaced while vLLM still uses what it read before, and only vLLM knows which file a
name of a hub or a path with ``~`` leads to.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from kvtransfer.connector.vllm.keys.content import content_digest
from kvtransfer.requests.keys.adapter import Held

if TYPE_CHECKING:
    from collections.abc import Collection

    from vllm.lora.request import LoRARequest

_LOG = logging.getLogger("kvtransfer")

# vLLM's number of an adapter, which differs between processes, and the attribute that we add.
_NOT_CONTENT = frozenset({"id", "kvtransfer_digest"})


class LoadedAdapters:
    """Watches vLLM's manager of one worker's adapters; only the worker's main thread may call it."""

    @classmethod
    def of(cls, worker: Any) -> LoadedAdapters:
        """Watch the adapters of vLLM's ``worker``.

        If its runner has no manager that we know, no adapter's content is known, and requests that
        name one are not cached.
        """
        manager = getattr(worker.model_runner, "lora_manager", None)
        return cls(manager if hasattr(manager, "_load_adapter") else None)

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._digests: dict[object, str] = {}
        """The digest of what was last loaded, by id, and by name and path."""
        self._unsteady: set[tuple[str, str]] = set()
        self._changes: Counter[int] = Counter()
        self._in_step = False
        if manager is not None:
            self._watch(manager)

    def find(self, request: LoRARequest, used: Collection[int]) -> Held | None:
        """Return what the adapter of ``request`` holds; load it if vLLM hasn't yet.

        None: its content can't be told. Adapters in ``used`` are never evicted for it.
        """
        if self._manager is None:
            return None
        adapters = self._manager._adapter_manager
        if adapters.get_adapter(request.lora_int_id) is None:
            self._load(request, adapters, used)
        return self._held(request)

    def are_still(self, lora_int_id: int, changes: int) -> bool:
        """Say whether the adapter has changed exactly ``changes`` times, and so not since then."""
        return self._changes[lora_int_id] == changes

    def _held(self, request: LoRARequest) -> Held | None:
        lora = self._manager._adapter_manager.get_adapter(request.lora_int_id)
        digest = getattr(lora, "kvtransfer_digest", None)
        if not digest:
            return None
        is_steady = (request.lora_name, request.lora_path) not in self._unsteady
        return Held(digest, self._changes[request.lora_int_id], is_steady)

    def _load(self, request: LoRARequest, adapters: Any, used: Collection[int]) -> None:
        """Load into host memory only: vLLM decides which adapters are active on the device."""
        is_full = len(adapters) >= adapters.capacity
        if is_full and len(used) >= adapters.capacity:
            return
        try:
            for adapter in used:  # so that vLLM evicts none of them as the oldest
                adapters._registered_adapters.touch(adapter)
            lora = self._manager._load_adapter(request)
            if is_full:
                adapters.remove_oldest_adapter()
            adapters.add_adapter(lora)
        except Exception as error:  # noqa: BLE001 - vLLM will fail alike, and handle it
            _LOG.warning("adapter %r can't be loaded: %s", request.lora_name, error)

    def _watch(self, manager: Any) -> None:
        load, apply = manager._load_adapter, manager._apply_adapters

        def load_adapter(request: LoRARequest) -> Any:
            lora = load(request)
            self._note(request, lora)
            return lora

        def apply_adapters(requests: Any) -> None:
            self._in_step = True
            try:
                apply(requests)
            finally:
                self._in_step = False

        manager._load_adapter, manager._apply_adapters = load_adapter, apply_adapters

    def _note(self, request: LoRARequest, lora: Any) -> None:
        # vLLM reads such an adapter again in every step; hashing it each time would be slow.
        is_read_each_step = self._in_step and request.load_inplace
        digest = "" if is_read_each_step else _digest(request, lora)
        lora.kvtransfer_digest = digest
        place = (request.lora_name, request.lora_path)
        places = (request.lora_int_id, place)
        if not digest or any(self._digests.get(key, digest) != digest for key in places):
            self._changes[request.lora_int_id] += 1
            self._unsteady.add(place)
        self._digests.update(dict.fromkeys(places, digest))


def _digest(request: LoRARequest, lora: Any) -> str:
    try:
        return content_digest(lora, _NOT_CONTENT)
    except TypeError as error:
        _LOG.warning("requests with adapter %r are not cached: %s", request.lora_name, error)
        return ""
