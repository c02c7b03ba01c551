"""Lists LMCache's settings: those that we read, features that we lack, and settings to ignore."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from kvtransfer.config.sourced import Value

_PREFIX = "lmcache."
"""Prefix of LMCache's settings in vLLM's extra config."""
_RENAMED = {
    "local_disk": "local_storage",
    "max_local_disk_size": "max_local_storage_size",
    "cache_policy": "eviction_policy",
    "save_decode_cache": "save_decode",
}
_SHARED_STORE = (
    "LMCache's prefill engines send to decode engines; here, both share a store: "
    "set remote_url and kv_role"
)
_FEATURES = {
    "enable_blending": "LMCache also restores text that isn't a prefix; here, requests ask for that, or blend: all",
    "enable_p2p": "LMCache's engines read each other's memory; here, they share a store: set remote_url",
    "enable_pd": _SHARED_STORE,
    "enable_nixl": _SHARED_STORE,
    "gds_path": "the GPU reads from a disk in LMCache; here, host memory does: set local_storage",
}
"""What each feature does in LMCache, and what to use here instead."""
# Options that have no effect here; one that is in no list is an error.
_KNOBS = {
    "audit_actual_remote_url", "blocking_timeout_secs", "discard_partial_chunks",
    "distributed_url", "external_backends", "external_lookup_client", "extra_config",
    "hit_miss_ratio", "log_level", "lookup_server_worker_ids", "lookup_timeout_ms", "lookup_url",
    "max_hidden_state_cpu_size", "min_retrieve_tokens", "numa_mode", "plugin_locations",
    "weka_path", "pipelined_backend", "pre_caching_hash_algorithm", "priority_limit",
    "py_enable_gc", "remote_config_url", "remote_storage_plugins", "reserve_local_cpu_size",
    "retrieve_locations", "app_id", "run_script_api_enabled", "runtime_plugin_locations",
    "save_unfull_chunk", "script_allowed_imports", "storage_plugins", "store_location",
    "track_usage", "transfer_channel", "usage_track_url", "local_disk_path_sharding",
    "local_cpu_use_hugepages", "force_skip_save", "error_handling", "weight", "cufile_buffer_size",
}  # fmt: skip
_KNOB_PREFIXES = (
    "blend_", "chunk_statistics_", "controller_", "coordinator_", "cost_aware_", "ec_", "enable_",
    "gds_", "hidden_state", "internal_api_server_", "lazy_memory_", "lmcache_", "maru_", "mp.",
    "mp_", "nixl_", "p2p_", "pd_", "pin_", "resp_", "use_",
)  # fmt: skip
_FALSE = {"", "0", "false", "n", "no", "off", "none", "null"}
_TRUE = {"1", "true", "y", "yes", "on"}


def in_our_words(values: Mapping[str, Value]) -> dict[str, Value]:
    """``values`` under our names, with folders and policies in our form.

    Raises:
        ConfigError: there are several folders, or the eviction policy is not implemented here.
    """
    read = {"local_disk": _folder, "cache_policy": _policy}
    ours: dict[str, Value] = {}
    for name, value in values.items():
        theirs = name.removeprefix(_PREFIX)
        ours[_RENAMED.get(theirs, theirs)] = read.get(theirs, _same)(value)
    return ours


def lost_features(values: Mapping[str, Value]) -> list[str]:
    """One sentence about each requested feature that is not implemented here."""
    asked = [name for name in _FEATURES if name in values and _word(values[name]) not in _FALSE]
    return [
        f"{values[name].source} has no effect: {_FEATURES[name]} (docs/recipes.md)"
        for name in asked
    ]


def knobs(values: Mapping[str, Value], known: Container[str]) -> list[str]:
    """The names among ``values`` that only LMCache knows, without the features."""
    names = [name for name in values if name not in known and name not in _FEATURES]
    return sorted(name for name in names if name in _KNOBS or name.startswith(_KNOB_PREFIXES))


def without_theirs(values: Mapping[str, Value], known: Container[str]) -> dict[str, Value]:
    """``values`` without the features and knobs of LMCache."""
    theirs = {*_FEATURES, *knobs(values, known)}
    return {name: value for name, value in values.items() if name not in theirs}


def _same(value: Value) -> Value:
    return value


def _folder(value: Value) -> Value:
    """The one path of the disk tier; LMCache accepts several, one for each GPU."""
    if _word(value) in _FALSE:
        return replace(value, value=None)
    if _word(value) in _TRUE:
        fix = "name the folder for chunks, as in /mnt/nvme"
        raise ConfigError(f"{value.source} ({value.value!r}): {fix}")
    paths = value.value.split(",") if isinstance(value.value, str) else value.value
    if not isinstance(paths, list):
        return value
    if len(paths) != 1:
        fix = "all engines share one folder here; join the disks (LVM, RAID 0) and name that one"
        raise ConfigError(f"{value.source} ({value.value!r}): {fix}")
    return replace(value, value=paths[0])


def _policy(value: Value) -> Value:
    if _word(value) in ("lfu", "fifo", "mru", "isolatedlru", "noop"):
        fix = "remove it for the default, learned, or write lru or arc"
        raise ConfigError(
            f"{value.source} ({value.value!r}): this policy is not implemented here; {fix}"
        )
    return value


def _word(value: Value) -> str:
    """The value as a lower-case word, to compare it."""
    return "none" if value.value is None else str(value.value).strip().lower()
