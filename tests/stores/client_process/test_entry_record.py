from __future__ import annotations

import json

import pytest

from kvtransfer.stores.client_process.entry_record import EntryRecord
from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity
from kvtransfer.testing import CHUNK, KEY, OTHER_KEY

FACTS = ChunkFacts.of(CHUNK, "naive")
RECORD = ChunkRecord(
    Identity.of(KEY, FACTS, nbytes=CHUNK.nbytes, created=5, seal="xxh3"), b"\x01" * 8
)


@pytest.mark.parametrize("expiry_s", [None, 0, 1_800_000_000])
def test_what_is_written_is_read(expiry_s):
    entry = EntryRecord(RECORD, expiry_s)
    assert EntryRecord.read(entry.to_bytes(), KEY) == entry
    assert EntryRecord.read(entry.to_bytes(), OTHER_KEY) is None


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'"' * 100, b"[" * 16000,
     json.dumps({"expiry_s": 1.5, "fields": RECORD.to_fields()}).encode(),
     json.dumps({"expiry_s": "1", "fields": RECORD.to_fields()}).encode(),
     json.dumps({"expiry_s": 1, "fields": [1]}).encode(),
     json.dumps({"expiry_s": 1, "fields": {"dtype": 1}}).encode(),
     json.dumps({"fields": RECORD.to_fields()}).encode()],
)  # fmt: skip
def test_anything_else_is_no_record(value):
    assert EntryRecord.read(value, KEY) is None


def test_a_life_ends_at_its_second():
    assert not EntryRecord(RECORD, None).is_over(1e12)
    assert not EntryRecord(RECORD, 10).is_over(9.9)
    assert EntryRecord(RECORD, 10).is_over(10.0)
