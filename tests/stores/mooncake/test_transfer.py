"""From the paged caches of one process through a pool of memory into those of another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def run(action, url):
    done = subprocess.run(
        [sys.executable, "-m", "tests.stores.mooncake.transfer", action, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_one_process_saves_and_another_restores(mooncake):
    assert run("save", mooncake.url) == ["256"]
    assert run("restore", mooncake.url) == ["256", "256", "True"]
