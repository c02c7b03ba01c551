"""An engine, and little steps, for the tests of this folder."""

from __future__ import annotations

import pytest

from tests.requests.engine import Engine


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def few_a_step(monkeypatch):
    """Of what one step brings, two chunks."""
    for name in (
        "saving.saves._A_STEP",
        "loading.loads._A_STEP",
        "loading.loads._AT_ONCE",
        "loading.prefetch._AT_ONCE",
    ):
        monkeypatch.setattr(f"kvtransfer.requests.{name}", 2)
