"""What the connector expects of vLLM, held against the sources of each supported version.

Nothing of them is imported: mypy checks the connector by the types of each version, and so finds
every module, name, attribute and parameter that is not there, and methods that don't fit those
that they override. What no type tells is in the tables below.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from kvtransfer.connector.vllm.vllm_version import NEWEST, OLDEST
from tests.connector.vllm_variants import OTHER_VERSIONS

pytestmark = pytest.mark.vllm

ROOT = Path(__file__).parents[3]
INSTALLED = Path(importlib.util.find_spec("vllm").origin).parents[1]
BASE = "vllm/distributed/kv_transfer/kv_connector/v1/base.py"

# Of each version what it lacks and we can do without, and why.
LACKING = {
    "vllm-0.31.0": {"vllm.v1.metrics.cache_hit_source": "never asks where hits come from"},
}

# Methods of the base class that we leave as they are, and why.
INHERITED = {
    "role": "says which side an instance is",
    "clear_connector_metadata": "forgets it",
    "has_connector_metadata": "asks whether there is one",
    "bind_gpu_block_pool": "we follow blocks by the scheduler's output",
    "finish_forward": "copies wait for events of the device, not for this call",
    "get_finished_count": "every rank reports each job, as is the default",
    "set_xfer_handshake_metadata": "we take the one that tells of pipeline stages",
    "get_kv_connector_kv_cache_events": "the scheduler's side knows what all workers have done",
    "get_loaded_kv_cache_group_ids": "there is one group, and the default names it",
    "get_mem_pool_context": "the caches need no memory of a kind",
    "get_required_kvcache_layout": "every layout is read by its strides",
    "has_pending_block_frees": "no block is held; has_pending_push_work keeps vLLM stepping",
    "register_finished_partial_tail": "only whole chunks are saved",
    "requires_piecewise_for_cudagraph": "nothing of ours runs within a layer",
    "reset_capture_state": "nothing of ours is captured",
    "set_host_xfer_buffer_ops": "we copy by ourselves",
    "supports_divergent_local_hybrid_hits": "hybrid models are refused",
}

# Mistakes that must be found, or the check has not seen vLLM's types; each error is in its line.
PROBE = """\
from vllm.config import VllmConfig
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1
from vllm.no_such_module import Thing  # import-not-found
from vllm.v1.attention.backends.cpu_attn import _get_attn_isa
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.request import NoSuchRequest, Request  # attr-defined


def read(request: Request, config: VllmConfig, output: SchedulerOutput) -> None:
    request.no_such_field  # attr-defined
    request.lora_request.no_such_field  # attr-defined
    request.mm_features[0].mm_position.no_such_field  # attr-defined
    config.kv_transfer_config.no_such_field  # attr-defined
    output.scheduled_cached_reqs.no_such_field  # attr-defined
    for new in output.scheduled_new_reqs:
        new.no_such_field  # attr-defined
    _get_attn_isa(1)  # call-arg


class Probe(KVConnectorBase_V1):
    def request_finished(self, request: Request) -> tuple[bool, None]:  # override
        return False, None
"""

# Whether a part of the configuration is set is no matter of vLLM's version: no strict_optional.
MYPY = """\
[mypy]
strict_optional = False
check_untyped_defs = True
ignore_missing_imports = True
follow_imports = skip
disable_error_code = assignment
[mypy-kvtransfer.*,msgspec.*]
follow_imports = silent
[mypy-vllm.*]
follow_imports = silent
ignore_missing_imports = False
"""


@pytest.fixture(scope="module", params=[INSTALLED, *OTHER_VERSIONS], ids=lambda folder: folder.name)
def sources(request):
    return request.param


def test_the_connector_uses_only_what_is_there(sources, tmp_path):
    (tmp_path / "mypy.ini").write_text(MYPY)
    (tmp_path / "probe.py").write_text(PROBE)
    errors = mypy_errors(sources, tmp_path)
    found = {error for error in errors if error.startswith("probe.py")}
    assert found == {
        f"probe.py:{number}: {line.partition('  # ')[2]}"
        for number, line in enumerate(PROBE.splitlines(), 1)
        if "  # " in line
    }
    lacking = LACKING.get(sources.name, {})
    excused = {error for error in errors for name in lacking if f'"{name}"' in errors[error]}
    assert {errors[error] for error in errors if error not in found | excused} == set()
    assert len(excused) >= len(lacking), "it lacks less than the table says"


def test_what_a_version_lacks_is_not_imported_with_the_connector():
    lacking = set().union(*LACKING.values())
    imported = {
        node.module
        for path in (ROOT / "connector").rglob("*.py")
        for node in ast.parse(path.read_text()).body  # not in a function, nor for types only
        if isinstance(node, ast.ImportFrom)
    }
    assert imported & lacking == set()


def test_each_method_of_the_base_is_overridden_or_left_for_a_reason(sources):
    base = methods(sources / BASE, "KVConnectorBase_V1")
    ours = methods(ROOT / "connector" / "vllm" / "connector.py", "KVTransferConnector")
    assert base - ours - INHERITED.keys() == set(), "decide whether to override them"
    assert ours & INHERITED.keys() == set(), "they are overridden"


def test_no_reason_is_for_a_method_that_is_gone():
    sources = [INSTALLED, *OTHER_VERSIONS]
    known = set.union(*(methods(one / BASE, "KVConnectorBase_V1") for one in sources))
    assert INHERITED.keys() - known == set()


def test_the_oldest_and_the_newest_version_are_among_them():
    versions = [Version(importlib.metadata.version("vllm"))]
    versions += [Version(one.name.removeprefix("vllm-")) for one in OTHER_VERSIONS]
    releases = [version.release[:2] for version in versions]
    assert (min(releases), max(releases)) == (OLDEST, NEWEST)


def mypy_errors(sources, folder):
    """Each error as ``file:line: code``, with its whole text."""
    (folder / "vllm").symlink_to(sources / "vllm")
    (folder / "msgspec").symlink_to(INSTALLED / "msgspec")  # some of vLLM's classes are its Structs
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--config-file", folder / "mypy.ini"),
            # Or what one version lacks would be found in the installed one.
            "--no-site-packages",
            *("--no-incremental", "--cache-dir", os.devnull, "--no-error-summary"),
            *("-p", "kvtransfer.connector", "-m", "probe"),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    errors = re.findall(r"^(\S+?):(\d+): error: (.*)  \[(\S+)\]$", done.stdout, re.MULTILINE)
    return {
        f"{Path(path).name}:{line}: {code}": f"{path}:{line}: {text} [{code}]"
        for path, line, text, code in errors
    }


def methods(path, name):
    """The public methods of the class ``name`` in the file ``path``."""
    tree = ast.parse(path.read_text())
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return {
        node.name
        for node in found.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
