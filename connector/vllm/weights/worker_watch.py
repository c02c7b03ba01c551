"""Notices when a worker's weights may have changed.

Weights are changed by vLLM's own methods (``reload_weights``, ``update_weights``, ``wake_up``), by a
trainer's worker extension, by functions sent with ``collective_rpc`` or ``apply_model``, and by a
direct call of ``model.load_weights``. All but the last look an attribute up on the worker's wrapper.
Every such lookup counts as a touch, except of names that are known to keep the weights. Touched
weights are fingerprinted again before anything is loaded or saved, so a harmless name that is
missing from the list costs one more reading of the weights.
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
"""The methods of a worker that don't change the weights of its model."""


def watch_workers() -> None:
    """Watch all workers that this process makes with a connector; may be called again.

    Raises:
        RuntimeError: this vLLM's workers work in a way that we don't know.
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
    """Have the packing of each model noted that vLLM builds from now on."""
    from vllm.model_executor.model_loader import utils

    record = (
        utils.record_metadata_for_reloading
    )  # vLLM calls it with each model before it loads the weights
    if hasattr(record, _WATCHED):
        return

    @wraps(record)
    def record_and_watch(model: nn.Module) -> None:
        record(model)
        watch_packing(model)

    setattr(record_and_watch, _WATCHED, True)
    utils.record_metadata_for_reloading = record_and_watch


def note_touch(worker: object) -> None:
    """Note that the weights of ``worker`` may change now."""
    vars(worker)[_TOUCHES] = touches(worker) + 1


def touches(worker: object) -> int:
    """Return how often ``worker`` has been touched."""
    count: int = vars(worker).get(_TOUCHES, 0)
    return count


def calling_worker() -> Any:
    """Return vLLM's worker, which registers its caches now and so is on the call stack.

    Raises:
        RuntimeError: there is no worker on the call stack.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        # The wrapper shows the worker's attributes, too, but has none of its own.
        if "model_runner" in getattr(caller, "__dict__", ()):
            return caller
        frame = frame.f_back
    raise RuntimeError(
        "no vLLM worker registers these caches: its weights can't be told from others"
    )


def note_loading(model: nn.Module, worker: object) -> None:
    """Count direct calls of ``model.load_weights`` as touches of ``worker`` from now on."""
    load: Any = model.load_weights

    @wraps(load)
    def load_and_note(*args: Any, **kwargs: Any) -> Any:
        note_touch(worker)
        return load(*args, **kwargs)

    model.load_weights = load_and_note  # type: ignore[assignment]
