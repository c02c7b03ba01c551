"""One server and proxy for all faults of a module, which each leaves as it was."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.faults.arena import Arena


@pytest.fixture(scope="module")
def arena():
    with closing(Arena()) as running:
        running.assert_well()
        yield running
