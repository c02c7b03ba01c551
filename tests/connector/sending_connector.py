"""A connector beside ours, as those that send KV to another instance: slow, and holding blocks.

What a finished request has computed is sent, a few steps long, while vLLM holds its blocks; the
bytes at the end must be those of the beginning. What was sent can be loaded by a later request with
the same prompt, a few steps long again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorMetadata,
    KVConnectorRole,
)

STEPS = 4


@dataclass
class Orders(KVConnectorMetadata):
    """Requests with their prompts' whole blocks."""

    send: dict[str, tuple[tuple[int, ...], list[int]]] = field(default_factory=dict)
    load: dict[str, tuple[tuple[int, ...], list[int]]] = field(default_factory=dict)


class SendingConnector(KVConnectorBase_V1):
    """With ``"loads": true`` it loads what it has sent."""

    def __init__(self, vllm_config: Any, role: KVConnectorRole, kv_cache_config: Any) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        extra = vllm_config.kv_transfer_config.kv_connector_extra_config
        self._loads = bool(extra.get("loads"))
        self._block_tokens = vllm_config.cache_config.block_size
        self._orders = Orders()
        self._sent: dict[tuple[int, ...], list[list[Any]]] = {}
        """By prompt; on the scheduler's side only the keys count."""
        self._sending: dict[str, tuple[int, tuple[int, ...], list[int], list[list[Any]]]] = {}
        self._loading: dict[str, tuple[int, tuple[int, ...], list[int]]] = {}

    # --- scheduler

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> Any:
        prompt = self._whole(request)
        found = len(prompt) - num_computed_tokens if prompt in self._sent else 0
        return (found, True) if self._loads and found > 0 else (0, False)

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        if num_external_tokens:
            prompt = self._whole(request)
            (ids,) = blocks.get_block_ids()
            self._orders.load[request.request_id] = prompt, self._of(prompt, ids)

    def build_connector_meta(self, scheduler_output: Any) -> Orders:
        orders, self._orders = self._orders, Orders()
        return orders

    def request_finished(self, request: Any, block_ids: list[int]) -> tuple[bool, None]:
        prompt = self._whole(request)
        own = self._of(prompt, block_ids)
        # As Nixl's: what is aborted is not sent; somebody may still be loading into its blocks.
        is_whole = prompt and len(own) * self._block_tokens >= len(prompt)
        if not is_whole or request.status.name == "FINISHED_ABORTED":
            return False, None
        self._orders.send[request.request_id] = prompt, own
        self._sent.setdefault(prompt, [])
        return True, None

    def _whole(self, request: Any) -> tuple[int, ...]:
        """The whole blocks of the prompt, but for its last token, which is computed always."""
        tokens = (request.num_prompt_tokens - 1) // self._block_tokens * self._block_tokens
        return tuple(request.prompt_token_ids[:tokens])

    def _of(self, prompt: tuple[int, ...], ids: list[int]) -> list[int]:
        return list(ids[: len(prompt) // self._block_tokens])

    # --- worker

    def register_kv_caches(self, kv_caches: dict[str, Any]) -> None:
        self._caches = list(kv_caches.values())

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        orders = self._get_connector_metadata()
        assert isinstance(orders, Orders)
        for name, (prompt, ids) in orders.load.items():
            for cache in self._caches:
                cache[ids] = 0.0  # it is written from here on
            self._loading[name] = STEPS, prompt, ids
        for name, (prompt, ids) in orders.send.items():
            self._sending[name] = STEPS, prompt, ids, self._read(ids)

    def wait_for_layer_load(self, layer_name: str) -> None: ...

    def save_kv_layer(self, *args: Any, **kwargs: Any) -> None: ...

    def wait_for_save(self) -> None: ...

    def get_finished(self, finished_req_ids: set[str]) -> tuple[set[str], set[str]]:
        sent = {name for name in list(self._sending) if self._send(name)}
        return sent, {name for name in list(self._loading) if self._load(name)}

    def _send(self, name: str) -> bool:
        steps, prompt, ids, pages = self._sending.pop(name)
        if steps:
            self._sending[name] = steps - 1, prompt, ids, pages
            return False
        now = self._read(ids)
        assert all(
            a.equal(b)
            for old, new in zip(pages, now, strict=True)
            for a, b in zip(old, new, strict=True)
        ), f"blocks of {name} were written while they were sent"
        self._sent[prompt] = pages
        return True

    def _load(self, name: str) -> bool:
        steps, prompt, ids = self._loading.pop(name)
        if steps or not self._sent.get(prompt):
            self._loading[name] = max(0, steps - 1), prompt, ids
            return False
        for cache, pages in zip(self._caches, self._sent[prompt], strict=True):
            for block, page in zip(ids, pages, strict=True):
                cache[block] = page
        return True

    def _read(self, ids: list[int]) -> list[list[Any]]:
        return [[cache[block].clone() for block in ids] for cache in self._caches]
