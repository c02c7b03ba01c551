"""The environment of every test; set before torch, triton or vllm is imported."""

import os

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
    if not has_gpu():
        os.environ.setdefault("TRITON_INTERPRET", "1")  # kernels run on the CPU, slowly


def pytest_collection_modifyitems(config, items):
    if has_gpu():
        return
    needs_gpu = [item for item in items if item.get_closest_marker("gpu")]
    config.hook.pytest_deselected(items=needs_gpu)
    items[:] = [item for item in items if item not in needs_gpu]


def has_gpu():
    import torch  # reads OMP_NUM_THREADS, so not before it is set

    return torch.cuda.is_available()
