"""Entries of earlier releases are hits, and what another format wrote is a miss: docs/upgrade.md."""

from __future__ import annotations

import base64
import json
import re
import zlib
from contextlib import closing

import pytest
import redis
import torch

from kvtransfer.chunks import keys
from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores.disk.file.direct_io import SECTOR_BYTES
from kvtransfer.stores.disk.file.record_sector import _MAGIC, decode_fields
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_entries, settings_of
from kvtransfer.stores.record import ChunkRecord
from tests.upgrade.entries import CASES, FOLDER, added, computed, restored, saved

RELEASES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
WRITTEN = [(release, case) for release, cases in RELEASES.items() for case in cases]
PAGE = (FOLDER.parents[1] / "docs" / "upgrade.md").read_text(encoding="utf-8")
AT_WILL = {"created", "nonce", "tag"}
SAY = (
    "entries are written in another form than before: raise FORMAT_VERSION and add a row to "
    "docs/upgrade.md if that is meant, or mend it"
)
STEP_OF_8_BITS = 96 / 255


def unpacked(files):
    """The bytes of each entry's file."""
    entries = {name: text for name, text in files.items() if name.endswith(".kv")}
    return {name: zlib.decompress(base64.b85decode(text)) for name, text in entries.items()}


def packed(files):
    return {name: base64.b85encode(zlib.compress(raw)).decode() for name, raw in files.items()}


def are_alike(found, case):
    most = STEP_OF_8_BITS if case == "int8" else 0
    pairs = zip(found, computed(), strict=True)
    return all((a.float() - b.float()).abs().max() <= most for a, b in pairs)


@pytest.mark.parametrize(("release", "case"), WRITTEN)
def test_what_a_release_wrote_is_a_hit(release, case, tmp_path):
    assert are_alike(restored(case, RELEASES[release][case], tmp_path), case)


@pytest.mark.parametrize(("release", "case"), WRITTEN)
def test_the_same_is_written_today(release, case):
    then, now = unpacked(RELEASES[release][case]), unpacked(saved(case))
    assert then.keys() == now.keys(), SAY
    for name, raw in then.items():
        before, after = (decode_fields(each[-SECTOR_BYTES:]) for each in (raw, now[name]))
        assert before.keys() == after.keys(), SAY
        assert {k: v for k, v in before.items() if k not in AT_WILL} == {
            k: v for k, v in after.items() if k not in AT_WILL
        }, SAY
        if case not in ("encryption", "lossless"):  # another zstd may shorten by another bit
            assert raw[:-SECTOR_BYTES] == now[name][:-SECTOR_BYTES], SAY


@pytest.mark.parametrize("case", RELEASES["0.2.0"])
def test_what_a_release_put_in_redis_is_a_hit(case, tmp_path):
    settings = settings_of(TransferConfig.of(**added(tmp_path, case)), Metrics())
    with EmbeddedServer(64 << 20) as server, redis.Redis.from_url(server.url) as client:
        for raw in unpacked(RELEASES["0.2.0"][case]).values():
            record = decode_fields(raw[-SECTOR_BYTES:])
            key, nbytes = ChunkRecord.from_fields(record).identity.key, int(record["nbytes"])
            client.hset(key, mapping=record)
            client.set(f"{key}_bytes", raw[:nbytes])
            with closing(open_entries(server.url, settings)) as store:
                assert store.get_into(key, memoryview(bytearray(nbytes))) is not None


def test_another_version_of_the_format_is_a_miss(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "FORMAT_VERSION", keys.FORMAT_VERSION + 1)
    assert is_a_miss(restored("plain", RELEASES["0.2.0"]["plain"], tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw.replace(_MAGIC, _MAGIC.replace(b"2", b"3")),
        lambda raw: raw.replace(b'"seal"', b'"deal"'),
        lambda raw: raw.replace(b'"format": "naive"', b'"format": "later"'),
        lambda raw: raw.replace(b'"seal": "xxh3', b'"seal": "xxh4'),
    ],
    ids=["version of the file", "fields", "codec", "seal"],
)
def test_a_record_of_another_form_is_a_miss(change, tmp_path):
    before = unpacked(RELEASES["0.2.0"]["plain"])
    after = {name: change(raw) for name, raw in before.items()}
    assert all(after[name] != raw for name, raw in before.items())
    marker = {".kvtransfer-chunks": RELEASES["0.2.0"]["plain"][".kvtransfer-chunks"]}
    assert is_a_miss(restored("plain", marker | packed(after), tmp_path))


def is_a_miss(layers):
    return all(torch.equal(layer, torch.zeros_like(layer)) for layer in layers)


def test_the_page_has_each_release_and_its_version():
    shown = dict(re.findall(r"^\| (\d\S+) \| (\d+) \| hits \|$", PAGE, re.MULTILINE))
    assert shown == {name: str(keys.FORMAT_VERSION) for name in RELEASES if name != "next"}
    assert {case for _, case in WRITTEN} == CASES.keys()
