from __future__ import annotations

import json
import os
import struct

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores.feeds.memory import MemoryFeed
from kvtransfer.stores.feeds.sealed import SealedFeed
from kvtransfer.stores.seals.in_use import Seals
from kvtransfer.stores.shelf import Shelf
from tests.stores.feeds.feed_contract import OTHER_TOPIC, PLENTY, TOPIC

MODES = {"checksum": None, "integrity": "integrity_key_file", "encryption": "encryption_key_file"}
SECRET = b"the words of a user"


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def seals(tmp_path):
    def opened(mode, key="key"):
        path = tmp_path / key
        if not path.exists():
            path.touch(0o600)
            path.write_text(os.urandom(32).hex())
        files = {MODES[mode]: str(path)} if MODES[mode] else {}
        return Seals.open(TransferConfig.of(**files), Metrics())

    return opened


def read(shelf, seals, topic=TOPIC):
    return SealedFeed(MemoryFeed(shelf), seals).reader(topic).read(PLENTY)


def appended(shelf, seals, payload=SECRET):
    SealedFeed(MemoryFeed(shelf), seals).append(TOPIC, payload)
    return shelf.feeds[TOPIC][-1][1]


def replaced(shelf, sealed, topic=TOPIC):
    shelf.feeds.clear()
    MemoryFeed(shelf).append(topic, sealed)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_sealed_is_opened(shelf, seals, mode):
    sealed = appended(shelf, seals(mode))
    assert read(shelf, seals(mode)) == [SECRET]
    assert (SECRET in sealed) == (mode != "encryption")


@pytest.mark.parametrize("mode", MODES)
def test_under_another_topic_it_is_dropped(shelf, seals, mode):
    replaced(shelf, appended(shelf, seals(mode)), OTHER_TOPIC)
    assert read(shelf, seals(mode), OTHER_TOPIC) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_change_anywhere_is_dropped(shelf, seals, mode):
    opened = seals(mode)
    sealed = appended(shelf, opened)
    for at in range(len(sealed)):
        replaced(shelf, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        assert read(shelf, opened) == []
    for end in range(len(sealed)):
        replaced(shelf, sealed[:end])
        assert read(shelf, opened) == []


@pytest.mark.parametrize("mode", ["integrity", "encryption"])
def test_without_the_key_nothing_is_opened_and_nothing_forged(shelf, seals, mode):
    appended(shelf, seals(mode))
    assert read(shelf, seals(mode, "another")) == read(shelf, seals("checksum")) == []
    shelf.feeds.clear()
    appended(shelf, seals("checksum"))
    assert read(shelf, seals(mode)) == []


@pytest.mark.parametrize(
    "record", [b"", b"[" * 5000, b"[]", b"{}", json.dumps({"tag": 1}).encode(), b"\xff\xfe"]
)
def test_a_record_that_makes_no_sense_is_dropped(shelf, seals, record):
    appended(shelf, seals("checksum"))
    MemoryFeed(shelf).append(TOPIC, struct.pack("<H", len(record)) + record + b"payload")
    appended(shelf, seals("checksum"), b"next")
    assert read(shelf, seals("checksum")) == [SECRET, b"next"]
