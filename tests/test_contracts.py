"""Each contract of the imports finds the violation that it is there for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
VIOLATIONS = {
    "One way down": ("scheduling/jobs.py", "from kvtransfer.worker import priority_pool"),
    "Kernels know tensors, nothing else": (
        "kernels/host_copy.py",
        "from kvtransfer.errors import ConfigError",
    ),
    "The scheduler side reaches no device code": (
        "requests/match.py",
        "from kvtransfer.device import cpu",
    ),
    "Passages are found without torch, and without I/O": ("passages/match.py", "import torch"),
    "The command needs no torch": ("stores/redis/listing.py", "import torch"),
    "Only vLLM's connector imports vllm": ("errors.py", "import vllm"),
    "Only SGLang's connector imports sglang": ("urls.py", "import sglang"),
    "No engine's connector knows another engine's": (
        "connector/sglang/__init__.py",
        "from kvtransfer.connector.vllm.caches import model_facts",
    ),
    "Only the Redis store imports redis": ("stores/tiered.py", "import redis"),
    "Only its client program imports obstore": ("stores/objects/client.py", "import obstore"),
    "Only vLLM's connector imports opentelemetry": (
        "requests/tracing/spans.py",
        "import opentelemetry",
    ),
}


def broken(folder):
    """Names of the contracts that the package in ``folder`` breaks."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = re.findall(r"^(.+) (KEPT|BROKEN)\b", done.stdout, re.MULTILINE)
    assert len(said) == len(VIOLATIONS), done.stdout + done.stderr
    return {name for name, verdict in said if verdict == "BROKEN"}


def test_each_contract_is_broken_by_its_violation(tmp_path):
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert {each["name"] for each in contracts["contracts"]} == set(VIOLATIONS)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "kvtransfer", tmp_path / "kvtransfer")  # folders in place of the links
    for path, line in VIOLATIONS.values():
        planted = tmp_path / "kvtransfer" / path
        with planted.open("a") as module:
            module.write(f"\n{line}\n")
    assert broken(tmp_path) == set(VIOLATIONS)
