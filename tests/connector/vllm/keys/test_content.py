from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kvtransfer.connector.vllm.keys.content import content_digest

ZEROS = torch.zeros(2, 3)


def holding(value):
    return content_digest({"it": value})


def test_every_difference_counts():
    values = [
        ZEROS,
        ZEROS.T,
        ZEROS.to(torch.bfloat16),
        torch.ones(2, 3),
        torch.zeros(0),
        ZEROS.numpy(),
        [ZEROS, ZEROS],
        [[ZEROS], ZEROS],
        {"a": ZEROS},
        {"b": ZEROS},
        SimpleNamespace(a=ZEROS),
        None,
        0,
        0.0,
        False,
        "0",
        b"0",
        np.float32(0),
        [],
        {},
    ]
    assert len({holding(value) for value in values}) == len(values)


def test_how_it_lies_in_memory_does_not():
    assert holding(ZEROS.T) == holding(torch.zeros(3, 2))
    odd = torch.arange(12, dtype=torch.float32).reshape(3, 4)[:, ::2]
    assert holding(odd) == holding(odd.clone())
    one, two = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert content_digest(one) == content_digest(two)


def test_names_that_are_ignored():
    found = {content_digest(SimpleNamespace(id=i, a=1), frozenset({"id"})) for i in (1, 2)}
    assert len(found) == 1


@pytest.mark.parametrize("value", [object(), {1, 2}, print, torch.zeros(1, device="meta")])
def test_what_can_not_be_told_is_said(value):
    with pytest.raises(TypeError, match="can't be told"):
        holding(value)
