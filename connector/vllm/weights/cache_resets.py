"""Notices when vLLM empties its own prefix cache."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.core.kv_cache_manager import KVCacheManager

    from kvtransfer.connector.vllm.pool_pins import PoolPins
    from kvtransfer.requests.scheduler import Scheduler


def note_resets(manager: KVCacheManager, scheduler: Scheduler, pins: PoolPins) -> None:
    """Have each successful reset of ``manager`` noted by ``scheduler`` from now on.

    ``pins`` are released before: vLLM empties no cache of which a block is in use.
    """
    reset = manager.reset_prefix_cache

    @wraps(reset)
    def reset_and_note() -> bool:
        pins.release()
        was_reset: bool = reset()
        if was_reset:
            scheduler.note_local_reset()
        return was_reset

    manager.reset_prefix_cache = reset_and_note
