from __future__ import annotations

import os

import pytest

from kvtransfer.chunks.keys import base_key
from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.stores.redis.arrival import Arrival
from kvtransfer.stores.redis.commands import DAMAGE, Found
from kvtransfer.stores.seals.in_use import Seals

KEY = base_key("org/model", 1, 0, "a" * 32)
FACTS = ChunkFacts("naive", "opaque:test", "uint8", (1,), 1)
PAYLOAD = os.urandom(1000)


@pytest.fixture(params=[None, "integrity_key_file", "encryption_key_file"])
def seals(request, tmp_path):
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(os.urandom(32).hex())
    settings = {request.param: str(file)} if request.param else {}
    return Seals.open(TransferConfig.of(**settings), Metrics())


@pytest.fixture
def stored(seals):
    with seals.sealed(KEY, FACTS, memoryview(PAYLOAD), "") as sealed:
        return sealed.record(), bytes(sealed.payload)


def take(arrival, record, stored, part_bytes=99):
    """Let ``stored`` arrive in parts; return what it has become."""
    arrived = memoryview(bytearray(stored))
    taken = arrival.begin(record.to_fields())
    for start in range(0, len(arrived), part_bytes):
        taken(arrived[start : start + part_bytes])
    return arrived


def test_a_payload_is_verified_and_decrypted_part_by_part(seals, stored):
    record, payload = stored
    arrival = Arrival(seals, KEY, "")
    assert take(arrival, record, payload) == PAYLOAD
    assert arrival.verified(Found(record.to_fields(), len(payload), is_filled=True)) == record


def test_one_that_was_cut_short_begins_again(seals, stored):
    record, payload = stored
    arrival = Arrival(seals, KEY, "")
    take(arrival, record, payload[:300])
    assert take(arrival, record, payload) == PAYLOAD
    assert arrival.verified(Found(record.to_fields(), len(payload), is_filled=True)) == record


@pytest.mark.parametrize("at", [0, 500, 999])
def test_a_damaged_one_is_refused(seals, stored, at):
    record, payload = stored
    arrival = Arrival(seals, KEY, "")
    take(arrival, record, payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1 :])
    assert arrival.verified(Found(record.to_fields(), len(payload), is_filled=True)) is None


def test_what_is_not_all_there_or_has_no_record_is_refused(seals, stored):
    record, payload = stored
    arrival = Arrival(seals, KEY, "")
    assert arrival.verified(DAMAGE) is None
    take(arrival, record, payload)
    fields = record.to_fields()
    assert arrival.verified(Found(fields, len(payload), is_filled=False)) is None
    assert arrival.verified(Found(fields, len(payload) - 1, is_filled=True)) is None
    arrival.begin(None)
    assert arrival.verified(Found(None, len(payload), is_filled=True)) is None
    arrival.begin({**fields, "chunk_hash": "b" * 32})(memoryview(bytearray(payload)))
    assert arrival.verified(Found(fields, len(payload), is_filled=True)) is None
