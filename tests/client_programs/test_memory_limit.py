"""A program that asks for more memory than it may have fails, and shared memory is no part of it."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import mmap, os, resource
from kvtransfer.client_programs.memory_limit import MemoryLimit

def fits(mib):
    try:
        return len(bytearray(mib << 20)) > 0
    except MemoryError:
        return False

limit = MemoryLimit(256 << 20)
shared = os.memfd_create("shared")
os.ftruncate(shared, 1 << 30)
memory = mmap.mmap(shared, 1 << 30)
memory[:4] = b"here"
print(fits(100), fits(300), resource.getrlimit(resource.RLIMIT_CORE)[0])
limit.open_channel(100 << 20)
print(fits(300), fits(600))
limit.close_channel(100 << 20)
print(fits(300))
"""


def test_memory_is_limited_and_more_of_it_comes_with_channels():
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "False", "0", "True", "False", "False"], done.stderr
