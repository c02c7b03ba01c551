from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.keys import base_key
from kvtransfer.layout import ChunkFormat
from kvtransfer.stores.record import CODEC, ChunkRecord, is_intact, whole

small = st.integers(0, 2**40)
records = st.builds(
    ChunkRecord,
    model_name=st.text(),
    format=st.text(),
    world_size=small,
    worker_id=small,
    layout=st.text(),
    dtype=st.text(),
    shape=st.lists(small).map(tuple),
    tokens=small,
    nbytes=small,
    xxh3=st.integers(0, 2**64 - 1),
    created=small,
)
names = sorted(field.name for field in fields(ChunkRecord))

CHUNK = ChunkFormat("split", "float16", (2, 3), 3, 12)
KEY = base_key("a/b@c d", 4, 3, "0" * 32)
PAYLOAD = b"twelve bytes"


def put_record():
    return ChunkRecord.of(KEY, CHUNK, memoryview(PAYLOAD), created=1_700_000_000)


@given(records)
def test_fields_bring_the_record_back(record):
    assert ChunkRecord.from_fields(record.to_fields()) == record


@given(records, st.sampled_from(names))
def test_a_missing_or_foreign_field_is_no_record(record, name):
    found = record.to_fields()
    assert ChunkRecord.from_fields({**found, "more": "1"}) is None
    del found[name]
    assert ChunkRecord.from_fields(found) is None


@given(
    records,
    st.sampled_from(["world_size", "worker_id", "tokens", "nbytes", "created", "xxh3", "shape"]),
    st.sampled_from(["", " {}", "{} ", "0{}", "+{}", "{}.0", "1_{}", "{},", "x", "{}\n", "٣{}"]),
)
def test_numbers_are_read_as_strictly_as_they_are_written(record, name, form):
    found = record.to_fields()
    changed = form.format(found[name])
    read = ChunkRecord.from_fields({**found, name: changed})
    assert read is None or read.to_fields()[name] == changed


def test_a_record_matches_its_key_and_format_only():
    record = put_record()
    assert record.matches(KEY, CHUNK)
    for other in ("x@4@3@", "a/b%40c%20d@5@3@", "a/b%40c%20d@4@2@"):
        assert not record.matches(other + "0" * 32, CHUNK)
    for change in (
        {"layout": "content"},
        {"dtype": "bfloat16"},
        {"shape": (3, 2)},
        {"tokens": 2},
        {"nbytes": 11},
    ):
        assert not record.matches(KEY, replace(CHUNK, **change))
    assert not replace(record, format="zip").matches(KEY, CHUNK)
    assert record.format == CODEC


@given(st.binary(max_size=24))
def test_only_the_recorded_payload_is_intact(payload):
    assert is_intact(KEY, CHUNK, put_record().to_fields(), payload) == (payload == PAYLOAD)


def test_an_entry_is_intact_with_both_halves_only():
    found = put_record().to_fields()
    assert is_intact(KEY, CHUNK, found, PAYLOAD)
    assert not is_intact(KEY, CHUNK, found, None)
    assert not is_intact(KEY, CHUNK, None, PAYLOAD)


def test_a_payload_is_flat_bytes_of_one_chunk():
    words = memoryview(bytearray(PAYLOAD)).cast("H")
    assert whole(words, CHUNK) == memoryview(PAYLOAD)
    with pytest.raises(ValueError, match="10 bytes; a chunk here has 12"):
        whole(words[:5], CHUNK)
