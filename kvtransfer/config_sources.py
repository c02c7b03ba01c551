"""Where settings come from besides a caller: a YAML file, the environment, the incumbent's too."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_LOG = logging.getLogger("kvtransfer")
_OURS, _THEIRS = "KVTRANSFER_", "LMCACHE_"
_NOT_SETTINGS = {"KVTRANSFER_CONFIG_FILE", "LMCACHE_CONFIG_FILE"}
_RENAMED = {
    "local_disk": "local_storage",
    "max_local_disk_size": "max_local_storage_size",
    "cache_policy": "eviction_policy",
    "save_decode_cache": "save_decode",
}
# Options of LMCache that say nothing to us; one that is in neither list is an error.
_THEIR_NAMES = {
    "audit_actual_remote_url", "blocking_timeout_secs", "distributed_url", "external_backends",
    "external_lookup_client", "extra_config", "hit_miss_ratio", "log_level",
    "lookup_server_worker_ids", "max_hidden_state_cpu_size", "min_retrieve_tokens", "numa_mode",
    "plugin_locations", "weka_path",
    "pre_caching_hash_algorithm", "priority_limit", "py_enable_gc", "remote_config_url",
    "remote_storage_plugins", "reserve_local_cpu_size", "retrieve_locations", "app_id",
    "run_script_api_enabled", "runtime_plugin_locations", "save_unfull_chunk",
    "script_allowed_imports", "storage_plugins", "store_location", "track_usage",
    "transfer_channel", "usage_track_url", "local_disk_path_sharding", "local_cpu_use_hugepages",
    "force_skip_save", "error_handling", "weight", "cufile_buffer_size",
}  # fmt: skip
_THEIR_PREFIXES = (
    "blend_", "chunk_statistics_", "controller_", "coordinator_", "cost_aware_", "ec_", "enable_",
    "gds_", "hidden_state", "internal_api_server_", "lazy_memory_", "lmcache_", "maru_", "mp_",
    "nixl_", "p2p_", "pd_", "pin_", "resp_", "use_",
)  # fmt: skip
_NOTHING = {"none", "null"}


@dataclass(frozen=True)
class Value:
    """A setting's value, and what its reader calls the place it stands in."""

    value: object
    source: str


def yaml_file(path: str, known: Container[str]) -> dict[str, Value]:
    """The settings in the YAML file ``path``, ours or LMCache's.

    Raises:
        ConfigError: it can't be read, or is no mapping of names to values.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content: Any = yaml.safe_load(file)
    except OSError as error:
        raise ConfigError(f"can't read the configuration file {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:
        # Only the place: the parser's words quote the file, which may hold a password.
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path} is not YAML{place}; put quotes around odd texts") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ConfigError(f"{path} must hold lines like `chunk_size: 256`, nothing else")
    values = {name: Value(value, f"{path}: {name}") for name, value in content.items()}
    return _translated(values, known)


def environment(environ: Mapping[str, str], known: Container[str]) -> dict[str, Value]:
    """The settings among ``LMCACHE_*`` and, winning over them, ``KVTRANSFER_*``.

    Their values are texts, None for ``none``; an empty variable sets nothing.
    """
    theirs = _translated(_prefixed(environ, _THEIRS), known)
    return theirs | _prefixed(environ, _OURS)


def _prefixed(environ: Mapping[str, str], prefix: str) -> dict[str, Value]:
    return {
        name.removeprefix(prefix).lower(): Value(_read(text.strip()), name)
        for name, text in environ.items()
        if name.startswith(prefix) and name not in _NOT_SETTINGS and text.strip()
    }


def _translated(values: Mapping[str, Value], known: Container[str]) -> dict[str, Value]:
    """Under our names; what only LMCache has is left out with a warning."""
    renamed = {_RENAMED.get(name, name): value for name, value in values.items()}
    left_out = sorted(name for name in renamed if name not in known and _is_theirs(name))
    if left_out:
        _LOG.warning("settings of LMCache without a meaning here: %s", ", ".join(left_out))
    return {name: value for name, value in renamed.items() if name not in left_out}


def _is_theirs(name: str) -> bool:
    return name in _THEIR_NAMES or name.startswith(_THEIR_PREFIXES)


def _read(text: str) -> str | None:
    return None if text.lower() in _NOTHING else text
