"""Notices when vLLM empties its own prefix cache."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.core.kv_cache_manager import KVCacheManager

    from kvtransfer.requests.keys.local_cache import LocalCache


def note_resets(manager: KVCacheManager, local_cache: LocalCache) -> None:
    """Have each successful reset of ``manager`` noted in ``local_cache`` from now on."""
    reset = manager.reset_prefix_cache

    @wraps(reset)
    def reset_and_note() -> bool:
        was_reset: bool = reset()
        if was_reset:
            local_cache.note_reset()
        return was_reset

    manager.reset_prefix_cache = reset_and_note
