"""Writes ``docs/configuration.md``, the page of the settings, from their definitions.

``python -m docs.configuration_page`` (or ``make docs``) writes the page. The code is read, not imported.
``tests/test_configuration_page.py`` compares the page with this.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import griffe

from docs.member_markdown import default, kind, one_line

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "configuration.md"

_HEAD = """\
# Configuration

Written by `make docs` from the settings' own definitions in `kvtransfer/config/settings.py`; edit those.

## Where settings come from

A setting has the same name everywhere. Of these three places the later one wins:

1. a YAML file that `KVTRANSFER_CONFIG_FILE` names:

    ```yaml
    chunk_size: 512
    remote_url: redis://HOST:6379/0
    ```

2. the environment, where the name is in capitals behind `KVTRANSFER_`. A URL with a password belongs here, because vLLM
   logs its own configuration:

    ```sh
    export KVTRANSFER_CHUNK_SIZE=512
    export KVTRANSFER_REMOTE_URL=redis://:PASSWORD@HOST:6379/0
    ```

3. `kv_connector_extra_config` in vLLM's `--kv-transfer-config`:

    ```json
    {"kv_connector": "KVTransferConnector", "kv_role": "kv_both", "kv_load_failure_policy": "recompute",
     "kv_connector_extra_config": {"chunk_size": 512}}
    ```

An unknown name is an error that suggests the nearest one. An unknown variable is a warning, unless it is nearly one of
ours; then it is an error. Variables that Kubernetes injects for a Service are ignored. LMCache's names, files, URLs and
`LMCACHE_*` variables are read too, or refused with what to write instead; `kvtransfer migrate lmcache.yaml` writes them in
our names.

`kvtransfer doctor` says which settings are in effect here, and which of them should be changed."""

# Each group goes from its first setting, in the order of their definitions, up to the next group's.
GROUPS = {
    "chunk_size": "Chunks and host memory",
    "local_storage": "Disk",
    "remote_url": "The store and its password",
    "integrity_key_file": "Who can read and write entries",
    "remote_serde": "Form and lifetime of entries",
    "remote_timeout_ms": "Waiting",
    "write_policy": "What is saved",
    "kv_events": "Routers",
    "blend": "Passages anywhere in a prompt",
    "model_name": "What is shared",
    "quotas_file": "Tenants",
    "trace_file": "Recording",
}

_MORE = {
    "chunk_size": "[What a key covers](keys.md)",
    "eviction_policy": "[How it learns](policy.md)",
    "local_storage": "[Folders of several users](redis.md#folders)",
    "remote_url": "[Redis](redis.md#where-it-is), [managed services](managed-redis.md), [buckets](s3.md), "
    "[pooled memory](mooncake.md), [shares, NIXL and stores of your own](stores.md)",
    "remote_read_url": "[Another region](managed-redis.md#another-region)",
    "remote_password_command": "[Tokens that rotate](managed-redis.md#tokens-that-rotate)",
    "integrity_key_file": "[Keys](security.md#keys)",
    "encryption_key_file": "[Keys](security.md#keys)",
    "remote_serde": "[Lossless](lossless.md), [fewer bits a number](codecs.md)",
    "load_margin": "[The cost model](cost-model.md)",
    "kv_events": "[Routers](routers.md)",
    "blend": "[Passages anywhere](blend.md)",
    "weights_name": "[Weights](keys.md#weights)",
    "tensor_parallel_shards": "[Weights](keys.md#weights)",
    "quotas_file": "[Quotas and tenants](quotas.md)",
    "trace_file": "[Memory for a load](../README.md#how-much-memory)",
}

_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_tokens": "tokens", "_cpu_size": "GiB",
          "_storage_size": "GiB", "chunk_size": "tokens"}  # fmt: skip
_KINDS = {
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "str": "text",
    "tuple[str, ...]": "path, or two",
    r"tuple[str, ...] \| Callable[[], str]": "program and its arguments",
}


def page() -> str:
    """The text of the page."""
    package = griffe.load("kvtransfer", search_paths=[ROOT])
    settings = package["config.settings.TransferConfig"]
    renamed = ast.literal_eval(str(package["config.lmcache_names._RENAMED"].value))
    theirs = {ours: name for name, ours in renamed.items()}
    parts = [_HEAD]
    for field in settings.attributes.values():
        if field.docstring is None or "class-attribute" not in field.labels:
            continue
        if field.name in GROUPS:
            parts.append(f"## {GROUPS[field.name]}")
        parts += _setting(field, theirs.get(field.name))
    return "\n\n".join(parts) + "\n"


def _setting(field: griffe.Attribute, lmcache_name: str | None) -> list[str]:
    meaning = one_line(field.docstring.value if field.docstring else "")
    more = [f"More: {_MORE[field.name]}."] if field.name in _MORE else []
    old = [f"LMCache's name for it is `{lmcache_name}`."] if lmcache_name else []
    facts = f"`KVTRANSFER_{field.name.upper()}` · {_type(field)} · {_shown_default(field)}"
    return [f"### {field.name}", facts, " ".join([meaning, *more, *old])]


def _type(field: griffe.Attribute) -> str:
    """The type in words, with bounds and unit."""
    code, _, bounds = kind(field).removeprefix("`").partition("`")
    kind_shown = code.removesuffix(r" \| None")
    words = _KINDS.get(kind_shown, f"`{kind_shown}`")
    unit = next((unit for ending, unit in _UNITS.items() if field.name.endswith(ending)), "")
    limits = re.sub(r"≥ (\S+) ≤ (\S+)", r"from \1 to \2", bounds)
    return ", ".join(filter(None, [f"{words}{limits}", unit]))


def _shown_default(field: griffe.Attribute) -> str:
    """The default as a YAML file would have it."""
    value = ast.literal_eval(default(field).strip("`"))
    if value in (None, ""):
        return "not set by default"
    return f"default `{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
