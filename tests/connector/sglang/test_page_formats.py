"""Formats are found by the number in a key, and fit the codecs of stores."""

from __future__ import annotations

import torch

from kvtransfer.chunks.keys import base_key, piece_key
from kvtransfer.connector.sglang.page_formats import PageFormats
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.memory import MemoryStore
from kvtransfer.stores.open import open_forms
from kvtransfer.stores.settings import StoreSettings


def keys(forms):
    return [base_key("m", 1, 0, piece_key("0" * 32, number)) for number in forms]


def test_tokens_count_once_a_page():
    formats = PageFormats()
    assert (formats.slot_bytes, formats.chunk_tokens) == (0, 0)
    kv = formats.add("page_first", torch.bfloat16, 64, (4096, 4096))
    states = formats.add("page_first", torch.float32, 1, (100_000, 6))
    assert (list(kv), list(states)) == ([0, 1], [2, 3])
    every = keys([*kv, *states])
    assert [formats.of(key).nbytes for key in every] == [4096, 4096, 100_000, 6]
    assert [formats.counted_tokens(key) for key in every] == [64, 0, 0, 0]
    assert (formats.slot_bytes, formats.chunk_tokens) == (100_000, 64)
    assert formats.slots_in(1.0) == 2**30 // 100_000


def test_a_part_that_is_no_row_of_numbers_keeps_its_last_bytes_when_compressed():
    formats = PageFormats()
    (key,) = keys(formats.add("page_first", torch.float32, 1, (4099,)))
    store = MemoryStore.open("memory://", StoreSettings())
    payload = bytes(4096) + b"end"
    got = bytearray(4099)
    held = FormattedStore(store, formats, open_forms("auto", formats))
    assert held.put(key, memoryview(payload))
    assert held.get_into(key, memoryview(got))
    assert got == payload
