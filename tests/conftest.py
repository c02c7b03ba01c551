"""The environment of every test; set before torch, triton or vllm is imported."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# These tests install archives of a commit, and a source distribution has none.
REPOSITORY = Path(__file__).parents[1] / ".git"
collect_ignore = [] if REPOSITORY.exists() else ["test_installing.py"]

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def pytest_configure():
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    # A busy machine is no failure; nothing here is judged by its duration.
    settings.register_profile(
        "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(config, items):
    elsewhere = "cpu" if has_gpu() else "gpu"
    left_out = [item for item in items if item.get_closest_marker(elsewhere)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))


def group(item):
    """Tests of one group run in one process: those of a file, or those that share engines."""
    if "v1_engines" not in item.fixturenames:
        return item.nodeid.partition("::")[0]
    runner = item.callspec.params.get("engines") if hasattr(item, "callspec") else None
    return "v1" if runner is None else runner.name


def has_gpu():
    import torch  # reads OMP_NUM_THREADS, so not before it is set

    return torch.cuda.is_available()


@pytest.fixture
def common():
    """A folder that other users may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="kvtransfer-users-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
