"""What no copy may accept: planes that differ would be broadcast, converted or overrun in silence."""

import pytest
import torch

from kvtransfer.kernels import host_copy, reference

SHAPE = (4, 8, 2, 6)
COPIES = pytest.mark.parametrize("copy", [host_copy, reference], ids=["host_copy", "reference"])


@COPIES
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda plane: plane[:2],
            r"planes\[1\] is \[2, 8, 2, 6\] .* planes\[0\] is \[4, 8, 2, 6\]",
        ),
        (lambda plane: plane[:, :4], r"planes\[1\] is \[4, 4, 2, 6\]"),
        (lambda plane: plane[:, :, :1], r"planes\[1\] is \[4, 8, 1, 6\]"),
        (lambda plane: plane[..., :1], r"planes\[1\] is \[4, 8, 2, 1\]"),
        (lambda plane: plane.view(torch.int32), r"planes\[1\] .* torch.int32, .* torch.float32"),
    ],
    ids=["blocks", "tokens", "heads", "dim", "dtype"],
)
def test_planes_that_differ_are_refused_before_a_byte_is_written(copy, change, message):
    memory, chunk = torch.randn(3, *SHAPE), torch.zeros(3, 16, *SHAPE[2:])
    planes = [memory[0], change(memory[1]), memory[2]]
    before = memory.clone()
    with pytest.raises(ValueError, match=message):
        copy.scatter_blocks(chunk, planes, [3])
    with pytest.raises(ValueError, match=message):
        copy.gather_blocks(planes, [3], chunk)
    assert torch.equal(memory, before)
    assert not chunk.any()


@COPIES
def test_no_planes_are_refused(copy):
    with pytest.raises(ValueError, match="no planes"):
        copy.gather_blocks([], [], torch.zeros(0, 16, 2, 6))


@COPIES
def test_a_chunk_that_does_not_fit_is_refused_with_what_it_is(copy):
    planes = list(torch.randn(2, *SHAPE))
    with pytest.raises(ValueError, match=r"chunk of torch.float16 .* torch.float32"):
        copy.gather_blocks(planes, [0], torch.zeros(2, 16, 2, 6).half())
    with pytest.raises(ValueError, match=r"contiguous, got strides \[384, 24, 6, 1\]"):
        copy.gather_blocks(planes, [0], torch.zeros(2, 32, 2, 6)[:, ::2])
