"""SGLang's interface, stores and host pools for the tests of this folder."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.connector.sglang.wheel import make_importable

make_importable()


@pytest.fixture
def start(server):
    """Starts storages of processes of SGLang, all on one server; they are closed behind the test."""
    from tests.connector.sglang.processes import Processes

    with closing(Processes(server.url)) as started:
        yield started.start
