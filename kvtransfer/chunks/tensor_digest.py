"""Digests the bytes of tensors where they lie, with little extra memory.

Host memory is read once by XXH3-128. Other devices are read in slices by ordinary tensor
operations, for their memory is too large to copy out: each 8-byte word is mixed with its position
by the finalizer of SplitMix64 (Steele, Lea, Flood 2014), and two sums of the mixed words, one of
them weighted by position, make 128 bits. Neither withstands an attacker who makes up the weights;
both tell apart what training, conversion or a broken copy has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import xxhash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Scratch on a device is a few times this.
_SLICE_BYTES = 32 << 20
_WORD_BYTES = 8
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def digests(tensors: Iterable[torch.Tensor]) -> list[bytes]:
    """16 bytes for each of ``tensors``, over its bytes as they lie in memory.

    Shape, dtype and strides are not covered: a caller that needs them says them beside the digest.
    A tensor in host memory and one on a device have different digests of equal bytes. Devices are
    waited for once, after the last tensor.
    """
    found = [_in_host_memory(t) if t.device.type == "cpu" else _on_device(t) for t in tensors]
    sums = [digest for digest in found if isinstance(digest, torch.Tensor)]
    read = iter(torch.stack(sums).cpu().numpy() if sums else ())
    return [each if isinstance(each, bytes) else next(read).tobytes() for each in found]


def _in_host_memory(tensor: torch.Tensor) -> bytes:
    digest = xxhash.xxh3_128()
    for piece in _slices(tensor):
        digest.update(piece.numpy().data)
    return digest.digest()


def _on_device(tensor: torch.Tensor) -> torch.Tensor:
    """Two int64, on the tensor's device."""
    sums = torch.zeros(2, dtype=torch.int64, device=tensor.device)
    first_word = 0
    for piece in _slices(tensor):
        words = _words(piece)
        numbers = torch.arange(
            first_word + 1, first_word + 1 + len(words), dtype=torch.int64, device=words.device
        )
        mixed = _mixed(words, numbers)
        sums[0] += mixed.sum()
        sums[1] += mixed.mul_(numbers.mul_(2).add_(1)).sum()
        first_word += len(words)
    return sums


def _mixed(words: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """``words``, each replaced by a mixture of itself and its number, modulo 2**64."""
    mixed = (numbers * _signed(_GOLDEN)).bitwise_xor_(words)
    for shift, factor in ((30, _MIX_1), (27, _MIX_2), (31, 1)):
        # >> copies the sign bit, which the mask takes away again.
        shifted = (mixed >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        mixed.bitwise_xor_(shifted).mul_(_signed(factor))
    return mixed


def _words(piece: torch.Tensor) -> torch.Tensor:
    """Flat bytes as int64; zeros fill the last word, whose tensor's size a caller says."""
    missing = -len(piece) % _WORD_BYTES
    if missing:
        piece = torch.nn.functional.pad(piece, (0, missing))
    elif piece.data_ptr() % _WORD_BYTES or piece.storage_offset() % _WORD_BYTES:
        piece = piece.clone()
    return piece.view(torch.int64)


def _slices(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The tensor's bytes, flat, in the order of its strides; copied only where they have gaps."""
    by_stride = sorted(range(tensor.dim()), key=lambda dim: -tensor.stride()[dim])
    ordered = tensor.detach().permute(by_stride)
    if ordered.is_contiguous():
        flat = ordered.view(-1).view(torch.uint8)
        for start in range(0, len(flat), _SLICE_BYTES):
            yield flat[start : start + _SLICE_BYTES]
    elif ordered.nbytes <= _SLICE_BYTES:
        yield from _slices(ordered.contiguous())
    else:
        for row in ordered:
            yield from _slices(row)


def _signed(word: int) -> int:
    """The int64 of the same 64 bits."""
    return word - (1 << 64) if word >> 63 else word
