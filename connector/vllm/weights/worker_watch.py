"""Notices that somebody may have changed a worker's weights.

Weights change by vLLM's own methods (``reload_weights``, ``update_weights``, ``wake_up``), by those
of a trainer's worker extension, by functions sent with ``collective_rpc`` or ``apply_model``, and by
``model.load_weights`` called from anywhere. All but the last reach the worker through its wrapper,
one attribute at a time. So whatever is asked of the wrapper, beside a list of what is known to
leave weights alone, counts as a touch, and touched weights are fingerprinted again before anything
is loaded or saved. To be wrong about a harmless name costs one reading of the weights.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any

from kvtransfer.connector.vllm.weights.packed import watch_packing

if TYPE_CHECKING:
    from torch import nn

_TOUCHES = "_kvtransfer_touches"
_WATCHED = "_kvtransfer_watched"

HARMLESS = frozenset({
    "add_lora", "check_health", "compile_or_warm_up_model", "compute_weight_checksums",
    "determine_available_memory", "discard", "execute_dummy_batch", "execute_model",
    "get_encoder_timing_stats", "get_kv_cache_spec",
    "get_kv_connector_handshake_metadata", "get_model_inspection", "get_supported_kv_cache_layouts",
    "get_supported_tasks", "init_weight_transfer_engine", "initialize_from_config", "list_loras",
    "pin_lora", "profile", "remove_lora", "reset_encoder_cache", "reset_mm_cache", "sample_tokens",
    "save_sharded_state", "save_tensorized_model", "set_kv_cache_layout", "shutdown",
    "shutdown_weight_transfer_engine", "sleep", "supports_draft_weight_updates",
    "synchronize_device", "take_draft_token_ids", "update_max_model_len",
})  # fmt: skip
"""What vLLM asks of a worker without changing the weights of its model."""


def watch_workers() -> None:
    """Watch all workers with a connector that this process will have; again is harmless.

    Raises:
        RuntimeError: vLLM's workers aren't as we know them.
    """
    from vllm.v1.worker.worker_base import WorkerWrapperBase

    if hasattr(WorkerWrapperBase, _WATCHED):
        return
    if "__getattr__" not in vars(WorkerWrapperBase):
        raise RuntimeError(
            "vLLM's WorkerWrapperBase has no __getattr__: this vLLM is not supported"
        )
    ask = WorkerWrapperBase.__getattr__

    @wraps(ask)
    def ask_and_note(wrapper: WorkerWrapperBase, name: str) -> Any:
        answer = ask(wrapper, name)
        if not name.startswith("__") and wrapper.vllm_config.kv_transfer_config is not None:
            _watch_models()
            if name not in HARMLESS:
                note_touch(wrapper.worker)
        return answer

    WorkerWrapperBase.__getattr__ = ask_and_note
    setattr(WorkerWrapperBase, _WATCHED, True)


def _watch_models() -> None:
    """Note what each model packs away that is built from now on."""
    from vllm.model_executor.model_loader import utils

    record = utils.record_metadata_for_reloading  # vLLM calls it with each model, still empty
    if hasattr(record, _WATCHED):
        return

    @wraps(record)
    def record_and_watch(model: nn.Module) -> None:
        record(model)
        watch_packing(model)

    setattr(record_and_watch, _WATCHED, True)
    utils.record_metadata_for_reloading = record_and_watch


def note_touch(worker: object) -> None:
    """The weights of ``worker`` may be others from now on."""
    vars(worker)[_TOUCHES] = touches(worker) + 1


def touches(worker: object) -> int:
    """How often that has been noted."""
    count: int = vars(worker).get(_TOUCHES, 0)
    return count


def calling_worker() -> Any:
    """The worker of vLLM that registers its caches: it is among our callers.

    Raises:
        RuntimeError: there is none.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        # Its wrapper has all that it has, too, but not as its own.
        if "model_runner" in getattr(caller, "__dict__", ()):
            return caller
        frame = frame.f_back
    raise RuntimeError(
        "no vLLM worker registers these caches: its weights can't be told from others"
    )


def note_loading(model: nn.Module, worker: object) -> None:
    """Count a direct call of ``model.load_weights`` as a touch of ``worker``, too."""
    load: Any = model.load_weights

    @wraps(load)
    def load_and_note(*args: Any, **kwargs: Any) -> Any:
        note_touch(worker)
        return load(*args, **kwargs)

    model.load_weights = load_and_note  # type: ignore[assignment]
