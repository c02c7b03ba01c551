from __future__ import annotations

import os
import sys
from itertools import pairwise

import pytest
import rich.pretty

from kvtransfer.chunks.keys import base_key
from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.open import open_tiers
from kvtransfer.stores.record import ChunkFacts
from kvtransfer.stores.seals.in_use import Seals

KEY = base_key("org/model", 1, 0, "a" * 32)
SETTINGS = ["integrity_key_file", "encryption_key_file"]


FACTS = ChunkFacts("naive", "opaque:test", "uint8", (1,), 1)


def chunk_of(nbytes):
    return ChunkFormat("opaque:test", "uint8", (nbytes,), 1, nbytes)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(os.urandom(32).hex())
    return str(file)


@pytest.fixture(params=[None, *SETTINGS])
def seals(request, path):
    settings = {request.param: path} if request.param else {}
    return Seals.open(TransferConfig.of(**settings), Metrics())


@pytest.mark.parametrize("nbytes", [1, 15, 16, 4097, (3 << 20) + 5])
@pytest.mark.parametrize("piece_bytes", [1 << 20, 1 << 30])
def test_a_payload_is_opened_in_place_whatever_its_pieces(seals, nbytes, piece_bytes):
    payload = os.urandom(nbytes)
    for tenant in ("", "b" * 32):
        with seals.sealed(KEY, FACTS, memoryview(payload), tenant) as sealed:
            record, target = sealed.record(), memoryview(bytearray(sealed.payload))
        opening = seals.opening(record, tenant)
        for start in range(0, nbytes, piece_bytes):
            opening.update(target[start : start + piece_bytes])
        opening.update(target[:0])
        assert opening.is_genuine()
        assert target == payload


@pytest.mark.parametrize("ends", [[], [10], [16, 48, 100], [100], [1, 2, 99]])
def test_a_payload_is_sealed_part_by_part_or_at_once(seals, ends):
    payload = os.urandom(100)
    with seals.sealed(KEY, FACTS, memoryview(payload), "") as sealed:
        parts = [sealed.part(begin, end) for begin, end in pairwise([0, *ends])]
        again = [sealed.part(begin, end) for begin, end in pairwise([0, *ends])]
        assert parts == again
        record = sealed.record()
        assert sealed.record() == record
        target = memoryview(bytearray(sealed.payload))
        assert b"".join(parts) == target[: sum(map(len, parts))]
        assert len(sealed) == len(target) == record.identity.nbytes
    assert seals.open_whole(record, target, "")
    assert target == payload


def test_two_puts_at_once_have_memory_of_their_own(seals):
    first, second = os.urandom(100), os.urandom(100)
    with (
        seals.sealed(KEY, FACTS, memoryview(first), "") as one,
        seals.sealed(KEY, FACTS, memoryview(second), "") as other,
    ):
        for sealed, payload in ((one, first), (other, second)):
            target = memoryview(bytearray(sealed.payload))
            assert seals.open_whole(sealed.record(), target, "")
            assert target == payload


def test_nonces_are_not_used_twice(path):
    seals = Seals.open(TransferConfig.of(encryption_key_file=path), Metrics())
    nonces = set()
    for _ in range(100):
        with seals.sealed(KEY, FACTS, memoryview(b"same"), "") as sealed:
            nonces.add(sealed.record().identity.nonce)
    assert len(nonces) == 100
    assert {len(nonce) for nonce in nonces} == {12}


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_seal_of_a_key_has_a_name_that_tells_nothing_of_it(path, setting):
    seals = [Seals.open(TransferConfig.of(**{setting: path}), Metrics()) for _ in range(2)]
    names = set()
    for each in seals:
        with each.sealed(KEY, FACTS, memoryview(b"same"), "") as sealed:
            names.add(sealed.record().identity.seal)
    (name,) = names  # the same in every process
    with open(path, encoding="utf-8") as file:
        secret = file.read()
    assert name.partition(":")[2] not in secret


@pytest.mark.parametrize("setting", SETTINGS)
def test_keys_show_nowhere(path, setting):
    config = TransferConfig.of(**{setting: path})
    seals = Seals.open(config, Metrics())
    seals.sealed(KEY, FACTS, memoryview(b"same"), "")
    with open(path, encoding="utf-8") as file:
        secret = file.read()
    for shown in (config, seals, StoreSettings(seals=seals), vars(seals), *vars(seals).values()):
        text = repr(shown) + rich.pretty.pretty_repr(shown)
        assert secret not in text
        assert repr(bytes.fromhex(secret)) not in text
    for seal in seals._by_name.values():
        assert repr(bytes.fromhex(secret)) not in repr(vars(seal))


def test_both_kinds_at_once_are_refused(path):
    config = TransferConfig.of(integrity_key_file=path, encryption_key_file=path)
    with pytest.raises(ConfigError, match=r"both set; .* leave integrity_key_file out"):
        Seals.open(config, Metrics())


@pytest.mark.parametrize(
    ("setting", "module", "extra"),
    [
        ("integrity_key_file", "blake3", "integrity"),
        ("encryption_key_file", "cryptography.hazmat.primitives.kdf.hkdf", "encryption"),
    ],
)
def test_a_missing_library_is_named(path, monkeypatch, setting, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "kvtransfer.stores.seals.cipher", raising=False)
    with pytest.raises(ConfigError, match=rf"^{setting} needs .*'\.\[{extra}\]'"):
        Seals.open(TransferConfig.of(**{setting: path}), Metrics())


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_bad_file_ends_the_start(tmp_path, setting):
    config = TransferConfig.of(remote_url="memory://", **{setting: str(tmp_path / "none")})
    with pytest.raises(ConfigError, match=f"{setting}: can't read {tmp_path}/none: No such file"):
        open_tiers(config, chunk_of(4))
