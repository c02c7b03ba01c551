import random
from contextlib import closing

import pytest
import redis

from kvtransfer.config import TransferConfig
from kvtransfer.metrics import Metrics
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_entries
from kvtransfer.stores.seals.in_use import Seals
from tests.commands.conftest import TENANT
from tests.operate.entries import FACTS, key_of


def test_all_is_well(run, filled):
    ran = run("verify", filled.url, "--json")
    assert ran.status == 0
    assert (ran.objects[0]["good"], ran.objects[0]["damaged"]) == (12, 0)


def test_damage_is_found_and_left_then_mended(run, filled):
    for number in (1, 4):
        filled.damage(key_of(number))
    for _ in range(2):
        ran = run("verify", filled.url, "--json")
        assert ran.status == 1
        assert sorted(ran.objects[0]["damaged_keys"]) == [key_of(1), key_of(4)]
    assert len(filled.listed()) == 12
    assert run("verify", filled.url, "--repair").status == 0
    assert len(filled.listed()) == 10
    assert run("verify", filled.url).status == 0


def test_a_file_without_a_record_is_found_and_removed(run, tmp_path):
    url = f"disk://{tmp_path}/chunks"
    with closing(open_entries(url, StoreSettings())) as store:
        for number in range(2):
            store.put(key_of(number), memoryview(b"payload"), FACTS)
    (path,) = tmp_path.rglob(f"{0:032x}.kv")
    path.write_bytes(bytes(path.stat().st_size))
    ran = run("verify", url, "--json")
    assert (ran.status, ran.objects[0]["orphan_keys"]) == (1, [key_of(0)])
    assert run("verify", url, "--repair").status == 0
    assert not path.exists()


def test_a_sample_reads_a_share(run, filled, monkeypatch):
    monkeypatch.setattr(random, "Random", lambda: random._inst.__class__(1))
    (found,) = run("verify", filled.url, "--sample", 0.5, "--json").objects
    assert 0 < found["good"] < 12


def test_a_run_that_was_cut_short_goes_on(run, filled, tmp_path):
    remembered = tmp_path / "remembered"
    (first,) = run(
        "verify", filled.url, "--model", "other", "--resume", remembered, "--json"
    ).objects
    (rest,) = run("verify", filled.url, "--resume", remembered, "--json").objects
    assert (first["good"], rest["good"]) == (4, 8)


def test_entries_of_another_key_are_not_called_damaged(run, filled, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text("0123456789abcdef" * 4)
    key_file.chmod(0o600)
    (found,) = run("verify", filled.url, "--integrity-key-file", key_file, "--json").objects
    assert (found["sealed"], found["damaged"]) == (12, 0)


def test_entries_of_a_tenant_are_opened_with_the_key_file(run, tmp_path):
    key_file, url = tmp_path / "key", f"disk://{tmp_path}/chunks"
    key_file.write_text("0123456789abcdef" * 4)
    key_file.chmod(0o600)
    config = TransferConfig.of(encryption_key_file=str(key_file))
    settings = StoreSettings(seals=Seals.open(config, Metrics()))
    with closing(open_entries(url, settings)) as store:
        for number, tenant in enumerate(["", TENANT]):
            store.put(key_of(number), memoryview(b"payload"), FACTS, tenant)
    (found,) = run("verify", url, "--encryption-key-file", key_file, "--json").objects
    assert (found["good"], found["damaged"]) == (2, 0)


@pytest.fixture
def server():
    with EmbeddedServer(64 << 20) as running, redis.Redis.from_url(running.url) as client:
        with closing(open_entries(running.url, StoreSettings())) as store:
            for number in range(4):
                store.put(key_of(number), memoryview(b"payload"), FACTS)
        yield running.url, client


def test_halves_are_found_and_removed(run, server):
    url, client = server
    client.delete(key_of(0))
    client.delete(f"{key_of(1)}_bytes")
    client.set("somebody@else_bytes", "stays")
    ran = run("verify", url, "--json")
    assert ran.status == 1
    assert ran.objects[0]["orphan_keys"] == [key_of(0)]
    assert ran.objects[0]["damaged_keys"] == [key_of(1)]
    assert run("verify", url, "--repair").status == 0
    assert not client.exists(f"{key_of(0)}_bytes", key_of(1))
    assert client.get("somebody@else_bytes") == b"stays"


def test_a_terminal_shows_what_is_wrong_with_each_key(in_terminal, server):
    url, client = server
    client.delete(key_of(0))
    client.delete(f"{key_of(1)}_bytes")
    lines = in_terminal(80, "verify", url)
    assert [line.split() for line in lines[:2]] == [["good", "2"], ["damaged", "1"]]
    assert lines[3:] == [
        f"damaged           {key_of(1)}",
        f"without a record  {key_of(0)}",
        "--repair removes these; engines compute again what they miss",
    ]


def test_a_key_cannot_write_to_the_terminal(run, server):
    url, client = server
    client.set(f"{key_of(9, 'org').replace('org', chr(27) + '[2Jorg')}_bytes", "payload")
    ran = run("verify", url)
    assert ran.status == 1
    assert "without a record  \\x1b[2Jorg@" in ran.out
    assert "\x1b" not in ran.out
