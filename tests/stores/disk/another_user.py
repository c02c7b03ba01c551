"""A second user of a folder: ``python -m tests.stores.disk.another_user FOLDER put|get KEY...``.

Where the first is root this one is ``nobody``; otherwise there is one user, and it is the same.
Ends with the keys that were put, or had.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.disk.store import DiskStore
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.testing import CHUNK, PAYLOAD, get

NOBODY = 65534
ROOT = Path(__file__).parents[3]
IS_ANOTHER = os.geteuid() == 0


def become_nobody():
    """For good; what is imported stays, though ``nobody`` may not be able to read it."""
    if IS_ANOTHER:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def keys_of_another_user(folder, what, *keys):
    command = [sys.executable, "-m", "tests.stores.disk.another_user", str(folder), what, *keys]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def main(folder, what, *keys):
    with closing(FormattedStore(DiskStore(folder, StoreSettings()), CHUNK)) as store:
        become_nobody()
        for key in keys:
            if what == "put":
                done = store.put(key, memoryview(PAYLOAD))
            else:
                done = get(store, key) == PAYLOAD
                assert store.contains([key]) == [done]
            if done:
                print(key)


if __name__ == "__main__":
    main(*sys.argv[1:])
