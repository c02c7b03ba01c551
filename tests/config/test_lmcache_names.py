"""What users of LMCache bring is read, or refused with what to write instead."""

from __future__ import annotations

import logging

import pytest

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError


def load(extra=None, **environ):
    return TransferConfig.load(extra or {}, environ)


def of_yaml(tmp_path, content):
    file = tmp_path / "lmcache.yaml"
    file.write_text(content)
    return load(LMCACHE_CONFIG_FILE=str(file))


@pytest.mark.parametrize("paths", ["/a,/b", "file:///mnt/nvme0/lm,file:///mnt/nvme1/lm"])
def test_several_folders_are_refused_with_what_to_do(paths, tmp_path):
    message = r"all engines share one folder here; join the disks \(LVM, RAID 0\)"
    with pytest.raises(ConfigError, match=rf"^LMCACHE_LOCAL_DISK \('{paths}'\): {message}"):
        load(LMCACHE_LOCAL_DISK=paths)
    with pytest.raises(ConfigError, match=f"local_disk .*: {message}"):
        of_yaml(tmp_path, f"local_disk: [{paths}]\n")
    with pytest.raises(ConfigError, match=message):
        load({"lmcache.local_disk": paths})


def test_a_folder_of_ours_may_have_a_comma():
    assert load(KVTRANSFER_LOCAL_STORAGE="/a,/b").local_storage == "/a,/b"


@pytest.mark.parametrize("text", ["true", "True", "1"])
def test_a_disk_without_a_folder_is_refused(text, tmp_path):
    message = "name the folder for chunks, as in /mnt/nvme"
    with pytest.raises(ConfigError, match=message):
        load(LMCACHE_LOCAL_DISK=text)
    with pytest.raises(ConfigError, match=rf"local_disk \(True\): {message}"):
        of_yaml(tmp_path, "local_disk: true\n")


def test_no_disk_and_no_serde_are_read_as_such(tmp_path):
    config = of_yaml(tmp_path, "local_disk: false\nremote_serde: null\nlocal_cpu: true\n")
    assert (config.local_storage, config.remote_serde) == (None, "naive")
    assert load(LMCACHE_LOCAL_DISK="False", LMCACHE_REMOTE_SERDE="none") == load()
    assert load({"remote_serde": None}) == load()


@pytest.mark.parametrize("policy", ["LFU", "fifo", "MRU"])
def test_a_policy_of_theirs_is_refused_by_their_name(policy):
    message = (
        "this policy is not implemented here; remove it for the default, learned, or write lru"
    )
    with pytest.raises(ConfigError, match=rf"^LMCACHE_CACHE_POLICY \('{policy}'\): {message}"):
        load(LMCACHE_CACHE_POLICY=policy)
    assert load(LMCACHE_CACHE_POLICY="LRU").eviction_policy == "lru"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("resp://u:p@h:6379/2", "redis://u:p@h:6379/2"),
        ("valkey://h:6379", "redis://h:6379"),
        ("valkeys://h:6379", "rediss://h:6379"),
        ("redis-sentinel://a:1,b:2/mymaster?db=1", "redis-sentinel://a:1,b:2/mymaster?db=1"),
        ("redis://u:a,b@h:1", "redis://u:a,b@h:1"),
    ],
)
def test_their_schemes_are_read(theirs, ours):
    assert load(LMCACHE_REMOTE_URL=theirs).remote_url == ours


@pytest.mark.parametrize(
    ("url", "fix"),
    [
        ("redis-sentinel://s3cret@a:1,b:2,c:3", "redis-sentinel://host:26379/mymaster, with the"),
        ("rediss-sentinel://a:1/?db=0", "rediss-sentinel://host:26379/mymaster, with the name"),
        ("valkey://:s3cret@a:1,b:2", "of one host; write redis-cluster://host1:6379,host2:6379"),
        ("lm://h:65432", "remote_url is not known; write redis://host:6379/0"),
    ],
)
def test_a_url_that_is_not_whole_is_refused_with_what_to_write(url, fix):
    with pytest.raises(ConfigError, match=fix) as refused:
        load(LMCACHE_REMOTE_URL=url)
    assert "s3cret" not in str(refused.value)


def test_their_names_in_the_extra_config_are_read(tmp_path, caplog):
    file = tmp_path / "lmcache.yaml"
    file.write_text("chunk_size: 64\nmax_local_disk_size: 7\n")
    config = load(
        {
            "lmcache_config_file": str(file),
            "lmcache.local_disk": "file:///mnt/nvme",
            "save_decode_cache": False,
            "lmcache.mp.port": 6555,
            "lmcache_rpc_port": "producer1",
            "discard_partial_chunks": False,
        }
    )
    assert (config.chunk_size, config.local_storage) == (64, "/mnt/nvme")
    assert (config.max_local_storage_size, config.save_decode) == (7.0, False)
    (record,) = caplog.records
    assert record.getMessage().endswith(": discard_partial_chunks, lmcache_rpc_port, mp.port")
    with pytest.raises(ConfigError, match="no setting 'chunk_siz'; did you mean chunk_size"):
        load({"lmcache.chunk_siz": 3})


def test_a_lookup_url_is_a_knob(caplog):
    assert load(LMCACHE_LOOKUP_URL="localhost:8100") == load()
    assert "lookup_url" in caplog.text


@pytest.mark.parametrize(
    ("feature", "instead"),
    [
        ("enable_blending", "requests ask for that"),
        ("enable_p2p", "set remote_url"),
        ("enable_pd", "set remote_url and kv_role"),
    ],
)
def test_a_lost_feature_is_said_louder_than_a_knob(feature, instead, caplog):
    load(**{f"LMCACHE_{feature.upper()}": "True", "LMCACHE_USE_LAYERWISE": "True"})
    lost, knob = caplog.records
    assert (lost.levelno, knob.levelno) == (logging.ERROR, logging.WARNING)
    assert lost.getMessage().startswith(f"LMCACHE_{feature.upper()} has no effect: ")
    assert instead in lost.getMessage()
    assert feature not in knob.getMessage()


@pytest.mark.parametrize("text", ["False", "0", "none"])
def test_a_feature_that_is_off_is_no_news(text, caplog):
    load(LMCACHE_ENABLE_P2P=text)
    assert caplog.records == []
