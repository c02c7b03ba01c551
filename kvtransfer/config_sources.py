"""Where settings come from besides a caller: a YAML file, the environment, the incumbent's too."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Tell = Callable[[str], object]

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
# What Kubernetes tells every container about a Service that is named like our variables.
_OF_A_SERVICE = re.compile(
    r"(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)
# As alike are "chunksize" and "chunk_size"; "pod_name" and "model_name" are not.
_TYPO = 0.85


@dataclass(frozen=True)
class Value:
    """A setting's value, and what its reader calls the place it stands in."""

    value: object
    source: str


def yaml_file(path: str, known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """The settings in the YAML file ``path``, ours or LMCache's.

    ``tell`` is given a sentence about each that is left out.

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
    return _translated(values, known, tell)


def environment(environ: Mapping[str, str], known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """The settings among ``LMCACHE_*`` and, winning over them, ``KVTRANSFER_*``.

    Their values are texts, None for ``none``; an empty variable sets nothing. A variable need not
    be meant for us, so ``tell`` is given a sentence about an unknown one, which is left out; it is
    returned only where it looks like a misspelt setting of ours.
    """
    theirs = _translated(_prefixed(environ, _THEIRS), known, tell)
    ours = _prefixed(environ, _OURS)
    typos = {name for name in ours if difflib.get_close_matches(name, known, 1, _TYPO)}
    strange = {
        **{name: value for name, value in theirs.items() if name not in known},
        **{name: value for name, value in ours.items() if name not in {*known, *typos}},
    }
    for name, value in strange.items():
        tell(f"{unknown(value.source, name, known)}; the variable is left out")
    both = theirs | ours
    return {name: value for name, value in both.items() if name in {*known, *typos}}


def unknown(source: str, name: str, known: Iterable[str]) -> str:
    """One sentence about a name that no setting has."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
    return f"{source}: there is no setting {name!r}; {hint}"


def _prefixed(environ: Mapping[str, str], prefix: str) -> dict[str, Value]:
    return {
        name.removeprefix(prefix).lower(): Value(_read(text.strip()), name)
        for name, text in environ.items()
        if name.startswith(prefix) and text.strip() and _may_be_setting(name, prefix)
    }


def _may_be_setting(name: str, prefix: str) -> bool:
    is_of_service = _OF_A_SERVICE.fullmatch(name.removeprefix(prefix)) is not None
    return name not in _NOT_SETTINGS and not is_of_service


def _translated(values: Mapping[str, Value], known: Iterable[str], tell: Tell) -> dict[str, Value]:
    """Under our names; what only LMCache has is left out, and told."""
    renamed = {_RENAMED.get(name, name): value for name, value in values.items()}
    left_out = sorted(name for name in renamed if name not in known and _is_theirs(name))
    if left_out:
        tell(f"settings of LMCache without a meaning here: {', '.join(left_out)}")
    return {name: value for name, value in renamed.items() if name not in left_out}


def _is_theirs(name: str) -> bool:
    return name in _THEIR_NAMES or name.startswith(_THEIR_PREFIXES)


def _read(text: str) -> str | None:
    return None if text.lower() in _NOTHING else text
