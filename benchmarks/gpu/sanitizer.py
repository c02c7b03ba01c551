"""Runs NVIDIA's memory checker on a short run of the kernel and the lanes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_LIMIT_S = 90


def verdict() -> str:
    """``clean``, what it complained of first, or why it did not run."""
    tool = _tool()
    if tool is None:
        return "not run: no compute-sanitizer on PATH or under CUDA_HOME"
    command = [tool, "--error-exitcode", "86", sys.executable, "-m", "benchmarks.gpu", "--short"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not finished after {_LIMIT_S} s"
    if done.returncode == 0:
        return "clean"
    said = [line for line in done.stdout.splitlines() if line.startswith("=========")]
    return " ".join(said[1:3]) or done.stderr.strip()[-300:]


def _tool() -> str | None:
    places = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    inside = [str(Path(place, "bin")) for place in places if place]
    return shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path=os.pathsep.join(inside)
    )
