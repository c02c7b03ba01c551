"""Runs a report of machine code by the Triton we use and by the oldest we support, at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import triton

ROOT = Path(__file__).resolve().parents[2]
OLDEST = Path(sys.prefix) / "triton-3.6.0"
VERSIONS = {triton.__version__: None, "3.6.0": OLDEST}
"""Where each version is; None: where the tests' own packages are."""


def reports(module, folder):
    """Rows of ``python -m module`` by version of Triton; each compiles in a process of its own."""
    running = {
        version: _start(module, folder / version, path) for version, path in VERSIONS.items()
    }
    for process in running.values():
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return {
        version: list(map(json.loads, (folder / version / "rows").read_text().splitlines()))
        for version in running
    }


def _start(module, folder, triton_path):
    folder.mkdir()
    path = os.pathsep.join(map(str, filter(None, (triton_path, ROOT))))
    environment = {**os.environ, "PYTHONPATH": path, "TRITON_CACHE_DIR": str(folder / "cache")}
    environment.pop("TRITON_INTERPRET", None)
    command = [sys.executable, "-m", module, "--json", str(folder / "rows")]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
