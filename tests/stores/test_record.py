from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES
from kvtransfer.stores.disk.file.record_sector import _MAGIC, decode_fields
from kvtransfer.stores.record import ChunkFacts, ChunkRecord, Identity, as_chunk_bytes

small = st.integers(0, 2**40)
identities = st.builds(
    Identity,
    model_name=st.text(),
    format=st.text(),
    world_size=small,
    worker_id=small,
    chunk_hash=st.text(),
    layout=st.text(),
    dtype=st.text(),
    shape=st.lists(small).map(tuple),
    tokens=small,
    nbytes=small,
    created=small,
    seal=st.text(),
    nonce=st.binary(),
    tenant=st.text(),
)
records = st.builds(ChunkRecord, identities, st.binary())
always = sorted([field.name for field in fields(Identity) if field.name != "tenant"] + ["tag"])

CHUNK = ChunkFormat("split", "float16", (2, 3), 3, 12)
KEY = base_key("a/b@c d", 4, 3, "0" * 32)
FACTS = ChunkFacts.of(CHUNK, "naive")


def put_record():
    identity = Identity.of(KEY, FACTS, nbytes=12, created=1_700_000_000, seal="xxh3")
    return ChunkRecord(identity, b"12345678")


@given(records)
def test_fields_bring_the_record_back(record):
    assert sorted(set(record.to_fields()) - {"tenant"}) == always
    assert ChunkRecord.from_fields(record.to_fields()) == record


@given(records, st.sampled_from(always))
def test_a_missing_or_foreign_field_is_no_record(record, name):
    found = record.to_fields()
    assert ChunkRecord.from_fields({**found, "more": "1"}) is None
    del found[name]
    assert ChunkRecord.from_fields(found) is None


@given(
    records,
    st.sampled_from(
        ["world_size", "worker_id", "tokens", "nbytes", "created", "shape", "nonce", "tag"]
    ),
    st.sampled_from(["", " {}", "{} ", "0{}", "+{}", "{}.0", "1_{}", "{},", "x", "{}\n", "٣{}"]),
)
def test_numbers_are_read_as_strictly_as_they_are_written(record, name, form):
    found = record.to_fields()
    changed = form.format(found[name])
    read = ChunkRecord.from_fields({**found, name: changed})
    assert read is None or read.to_fields()[name] == changed


def test_a_record_is_that_of_its_key_and_format_only():
    fields = put_record().to_fields()
    assert ChunkRecord.read(fields, KEY) == put_record()
    assert put_record().says(FACTS, 12)
    assert not put_record().says(FACTS, 11)
    for other in ("x@4@3@0", "a/b%40c%20d@5@3@0", "a/b%40c%20d@4@2@0", "a/b%40c%20d@4@3@1"):
        assert ChunkRecord.read(fields, other[:-1] + other[-1] * 32) is None
    for change in (
        {"layout": "content"},
        {"dtype": "bfloat16"},
        {"shape": (3, 2)},
        {"tokens": 2},
    ):
        assert not put_record().says(replace(FACTS, **change), 12)
    assert not put_record().says(replace(FACTS, format="zip"), 12)
    assert fields["format"] == "naive"


@given(identities, identities)
def test_a_tag_covers_bytes_that_only_one_identity_has(one, other):
    assert (one.to_bytes() == other.to_bytes()) == (one == other)


def test_a_record_of_the_first_format_is_none():
    """It had no chunk hash, and its checksum covered the payload alone."""
    old = {
        "model_name": "a/b@c d", "format": "naive", "layout": "split", "dtype": "float16",
        "shape": "2,3", "xxh3": "0" * 16, "world_size": "4", "worker_id": "3", "tokens": "3",
        "nbytes": "12", "created": "1700000000",
    }  # fmt: skip
    assert ChunkRecord.read(old, KEY) is None


def test_a_record_of_no_tenant_has_the_fields_that_it_always_had():
    assert sorted(put_record().to_fields()) == always
    assert "tenant" not in put_record().identity.to_bytes().decode()
    assert ChunkRecord.read({**put_record().to_fields(), "tenant": ""}, KEY) is None


def test_a_payload_is_flat_bytes_of_one_chunk():
    words = memoryview(bytearray(b"twelve bytes")).cast("H")
    assert as_chunk_bytes(words, CHUNK) == memoryview(b"twelve bytes")
    with pytest.raises(ValueError, match="10 bytes; a chunk here has 12"):
        as_chunk_bytes(words[:5], CHUNK)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(records, st.dictionaries(st.sampled_from([*always, "tenant", "more"]), anything, min_size=1))
def test_a_record_with_anything_else_in_it_is_none(record, other):
    """Or, where that is a text that a record may hold, the record that says so."""
    fields = {**record.to_fields(), **other}
    read = ChunkRecord.from_fields(fields)
    assert read is None or read.to_fields() == fields


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 4000,
        b'{"shape":' * 400,
        b'{"shape": 5}',
        b'{"tokens": Infinity}',
        b'{"tokens": 1e999}',
        b'{"tag": "00", "tag": "00"}',
        b'{"tag": "\xff"}',
        b'{"tag": null}',
        b'"tag"',
        b"\xff\xfe{\0}\0",
        b"9" * 4050,
    ],
)
def test_a_block_with_something_else_has_no_fields(text):
    assert decode_fields((_MAGIC + text).ljust(SECTOR_BYTES, b"\0")) == {}
