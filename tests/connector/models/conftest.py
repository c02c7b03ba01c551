"""Kinds of model that stand for the others where each needs many engines."""

from __future__ import annotations

import pytest

from tests.connector.models.kinds import GEMMA3, GRANITE4
from tests.connector.models.tiny import TinyModel
from tests.connector.plain_vllm import PlainVllm


@pytest.fixture(scope="module", params=[GEMMA3, GRANITE4], ids=lambda kind: kind.name)
def kind(request):
    """Windows in three groups, and states; the soak draws the others."""
    return request.param


@pytest.fixture(scope="module")
def tiny(kind, tmp_path_factory):
    return TinyModel.write(kind, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def right(v1_engines, tiny):
    """What plain vLLM answers."""
    with v1_engines.start(tiny.plain()) as engine:
        yield PlainVllm(engine)
