"""Chunks of numbers as models make them: around zero, of a few magnitudes."""

from __future__ import annotations

import numpy as np

from kvtransfer.chunks.layout import ChunkFormat

BF16 = ChunkFormat.split("bfloat16", 2, 64, 2, 16)
FP16 = ChunkFormat.split("float16", 2, 64, 2, 16)
FP32 = ChunkFormat.split("float32", 2, 64, 2, 16)
FP8 = ChunkFormat.split("float8_e4m3fn", 2, 64, 2, 16)
STATES = ChunkFormat.content("int8", 2, 1, 1, 2048)
MIXED = ChunkFormat.sectioned([FP8, BF16, FP32, STATES, FP16])
FLOATS = {"bfloat16": BF16, "float16": FP16, "float32": FP32, "mixed": MIXED}


def chunk_of(form, seed=0):
    """A chunk of ``form``: scaled normal numbers where it has some, and noise elsewhere."""
    random = np.random.default_rng(seed)
    return b"".join(_section(section, random) for section in form.sections or (form,))


def _section(form, random):
    if form.dtype not in ("bfloat16", "float16", "float32"):
        return random.bytes(form.nbytes)
    numbers = random.normal(0, 1, form.shape).astype(np.float32)
    if form.dtype == "bfloat16":
        return (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return numbers.astype(form.dtype).tobytes()


def stored_form(codec, chunk, form):
    """The stored form as bytes; None where there is none."""
    with codec.encoded(memoryview(chunk), form) as payload:
        return None if payload is None else bytes(payload)


def decoded(codec, stored, form):
    """The chunk; None where ``stored`` isn't the form of one. Memory around it must stay."""
    margin = b"\xa5" * 64
    around = bytearray(margin + bytes(form.nbytes) + margin)
    slot = memoryview(around)[64:-64]
    slot[: len(stored)] = stored
    is_decoded = codec.decode(slot, len(stored), form)
    assert around[:64] == around[-64:] == margin
    return bytes(slot) if is_decoded else None
