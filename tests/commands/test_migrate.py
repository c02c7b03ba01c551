import json
import os

import pytest
import yaml

from kvtransfer.config import TransferConfig

THEIRS = """
chunk_size: 128
local_cpu: true
max_local_cpu_size: 2.0
local_disk: "file:///var/tmp/chunks/"
max_local_disk_size: 10
remote_url: "redis://localhost:6379"
cache_policy: LRU
enable_p2p: true
use_layerwise: true
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("LMCACHE_", "KVTRANSFER_"))]:
        monkeypatch.delenv(name)


def test_a_file_becomes_one_of_ours(run, tmp_path):
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "ours.yaml"
    theirs.write_text(THEIRS)
    ran = run("migrate", theirs)
    assert ran.status == 0
    assert "local_storage: /var/tmp/chunks/  # local_disk" in ran.out
    ours.write_text(ran.out)
    told = []
    config = TransferConfig.load({}, {"KVTRANSFER_CONFIG_FILE": str(ours)}, told.append)
    assert (config.chunk_size, config.eviction_policy) == (128, "lru")
    assert set(yaml.safe_load(ran.out)) == {
        "chunk_size",
        "local_cpu",
        "max_local_cpu_size",
        "local_storage",
        "max_local_storage_size",
        "remote_url",
        "eviction_policy",
    }
    assert "share a store" in ran.err
    assert "use_layerwise" in ran.err


def test_variables_too(run, monkeypatch):
    monkeypatch.setenv("LMCACHE_CHUNK_SIZE", "128")
    monkeypatch.setenv("LMCACHE_LOCAL_CPU", "True")
    ran = run("migrate", "--json")
    assert json.loads(ran.out)["settings"] == {"chunk_size": 128, "local_cpu": True}


def test_what_can_not_be_meant_is_one_sentence(run, tmp_path):
    theirs = tmp_path / "theirs.yaml"
    theirs.write_text("cache_policy: LFU\n")
    ran = run("migrate", theirs)
    assert (ran.status, ran.out) == (2, "")
    assert "this policy is not implemented here" in ran.err
