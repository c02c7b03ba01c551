"""A few changes of weights, adapters and engines; ``make soak`` has hundreds of them."""

from __future__ import annotations

import random
from contextlib import closing

import pytest

from tests.connector.changing_engine import CHANGES
from tests.connector.soak_changes import WELL, Pair, Wrong, outcome

pytestmark = pytest.mark.vllm

SEED = 20261128


@pytest.fixture(scope="module")
def engines(v1_engines):
    return v1_engines


@pytest.fixture(scope="module")
def pair(engines, tmp_path_factory):
    with closing(Pair(engines, tmp_path_factory.mktemp("pair"))) as opened:
        yield opened


@pytest.mark.parametrize("kind", list(CHANGES))
def test_a_change_while_two_engines_share_a_store(pair, kind):
    assert outcome(pair, random.Random(f"{SEED}/{kind}"), kind)["outcome"] == WELL


def test_another_answer_is_found_out(pair):
    engine = pair.engines[0]
    told = engine.identity
    engine.identity = told._replace(weights="b" if told.weights == "a" else "a")
    with pytest.raises(Wrong, match="another answer"):
        pair.check(engine, [[1, 2, 3] * 50])
    engine.identity = told
