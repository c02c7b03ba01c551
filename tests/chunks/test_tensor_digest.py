"""Digests of tensors: equal bytes, equal digest; one bit, one place or one slice off, another."""

from __future__ import annotations

import pytest
import torch

from kvtransfer.chunks import tensor_digest
from kvtransfer.chunks.tensor_digest import digests

DTYPES = [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.int8, torch.bool]


@pytest.fixture(params=["host memory", "device"])
def digest(request, monkeypatch):
    """The digest of one tensor; a device's way is shown on host memory, in slices of 1 KiB."""
    monkeypatch.setattr(tensor_digest, "_SLICE_BYTES", 1024)
    if request.param == "host memory":
        return lambda tensor: digests([tensor])[0]
    return lambda tensor: bytes(tensor_digest._on_device(tensor).numpy().tobytes())


def numbers(count=3000):
    return torch.arange(count, dtype=torch.float32).sin()


def test_equal_bytes_have_equal_digests_wherever_they_lie(digest):
    tensor = numbers()
    assert digest(tensor) == digest(tensor.clone())
    shifted = torch.cat([torch.zeros(1), tensor])[1:]  # not on an 8-byte boundary
    assert digest(tensor) == digest(shifted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 7, 64, 3001])
def test_every_byte_counts(digest, dtype, count):
    tensor = numbers(count).mul(3).to(dtype)
    raw = tensor.view(torch.uint8)
    before = digest(tensor)
    for place in {0, len(raw) // 2, len(raw) - 1}:
        raw[place] ^= 1
        assert digest(tensor) != before
        raw[place] ^= 1
    assert digest(tensor) == before


def test_places_count(digest):
    tensor = numbers()
    swapped = tensor.clone()
    swapped[[10, 2000]] = tensor[[2000, 10]]
    moved = tensor.roll(256)  # by one slice
    found = {digest(each) for each in (tensor, swapped, moved, tensor.flip(0), -tensor)}
    assert len(found) == 5


def test_strided_tensors_are_read_as_they_lie_or_without_their_gaps(digest):
    square = numbers(3600).view(60, 60)
    assert digest(square.t()) == digest(square)  # the same memory; a caller says the strides
    assert digest(square[:, :30]) == digest(square[:, :30].contiguous())
    assert digest(square[::2, ::2]) == digest(square[::2, ::2].contiguous())


def test_scalars_and_empty_tensors_have_digests(digest):
    assert digest(torch.tensor(1.0)) != digest(torch.tensor(2.0))
    assert digest(torch.empty(0)) == digest(torch.empty(0, 4))


def test_many_at_once_are_each_digested():
    tensors = [numbers(n) for n in (5, 6, 7)]
    assert digests(tensors) == [digests([tensor])[0] for tensor in tensors]
    assert len(set(digests(tensors))) == 3
