import contextlib
import os
import pickle
import shlex

import pytest
import rich.pretty
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError


def load(extra=None, **environ):
    return TransferConfig.load(extra or {}, environ)


def test_defaults_are_those_users_of_lmcache_know():
    config = load()
    assert (config.chunk_size, config.local_cpu, config.max_local_cpu_size) == (256, True, 5.0)
    assert (config.remote_url, config.remote_serde) == (None, "naive")


def test_later_sources_win(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("chunk_size: 1\nttl_s: 1\nremote_timeout_ms: 1\nremote_connections: 1\n")
    config = load(
        {"remote_connections": 4},
        KVTRANSFER_CONFIG_FILE=str(file),
        LMCACHE_CHUNK_SIZE="2",
        LMCACHE_TTL_S="2",
        KVTRANSFER_TTL_S="3",
        KVTRANSFER_REMOTE_CONNECTIONS="3",
    )
    assert (config.remote_timeout_ms, config.chunk_size) == (1, 2)
    assert (config.ttl_s, config.remote_connections) == (3, 4)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("chunk_size", "128", 128),
        ("max_local_cpu_size", "2", 2.0),
        ("max_local_cpu_size", "0.5", 0.5),
        ("local_cpu", "False", False),
        ("local_cpu", "yes", True),
        ("local_cpu", "1", True),
        ("local_cpu", "0", False),
        ("chunk_size", " 64 ", 64),
        ("remote_url", "None", None),
        ("ttl_s", "", None),
        ("ttl_s", "none", None),
        ("remote_url", "redis://h", "redis://h"),
        ("local_storage", "/mnt/nvme", "/mnt/nvme"),
        ("local_storage", "file:///mnt/nvme/", "/mnt/nvme/"),
        ("max_local_storage_size", "100", 100.0),
        ("namespace", "7", "7"),
        ("namespace", "007", "007"),
        ("namespace", "1e5", "1e5"),
        ("model_name", "yes", "yes"),
        ("eviction_policy", "LRU", "lru"),
        ("integrity_key_file", "/run/new", ("/run/new",)),
        ("encryption_key_file", "/run/new:/run/old", ("/run/new", "/run/old")),
        ("encryption_key_file", "none", None),
        (
            "remote_password_command",
            "get-token --for 'my cache'",
            ("get-token", "--for", "my cache"),
        ),
    ],
)
def test_variables_are_read_as_what_they_set(name, text, value):
    assert getattr(load(**{f"KVTRANSFER_{name.upper()}": text}), name) == value


def test_key_files_are_one_path_or_a_list_of_two(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("integrity_key_file: /run/a\nencryption_key_file: [/run/b, /run/c]\n")
    config = load({"integrity_key_file": ["/run/d"]}, KVTRANSFER_CONFIG_FILE=str(file))
    assert config.integrity_key_file == ("/run/d",)
    assert config.encryption_key_file == ("/run/b", "/run/c")


def test_a_variable_that_a_later_source_overrides_need_not_be_valid():
    config = load(
        {"remote_serde": "naive"},
        LMCACHE_REMOTE_SERDE="cachegen",
        LMCACHE_LOCAL_DISK="/x",
        KVTRANSFER_LOCAL_STORAGE="none",
    )
    assert (config.remote_serde, config.local_storage) == ("naive", None)


@pytest.mark.parametrize("name", ["external_lookup_client", "chunk_statistics_strategy", "pd_role"])
def test_options_of_lmcache_without_a_meaning_here_stop_nobody(name, caplog):
    assert load(**{f"LMCACHE_{name.upper()}": "1"}) == load()
    (record,) = caplog.records
    assert name in record.getMessage()


def of_a_service(name):
    """What Kubernetes puts into every container of a namespace that has a Service ``name``."""
    return {
        f"{name}_SERVICE_HOST": "10.0.0.7",
        f"{name}_SERVICE_PORT": "6379",
        f"{name}_SERVICE_PORT_REDIS": "6379",
        f"{name}_PORT": "tcp://10.0.0.7:6379",
        f"{name}_PORT_6379_TCP": "tcp://10.0.0.7:6379",
        f"{name}_PORT_6379_TCP_PROTO": "tcp",
        f"{name}_PORT_6379_TCP_PORT": "6379",
        f"{name}_PORT_6379_TCP_ADDR": "10.0.0.7",
    }


@pytest.mark.parametrize("name", ["KVTRANSFER", "KVTRANSFER_REDIS", "LMCACHE", "LMCACHE_SERVER_V2"])
def test_a_service_of_that_name_in_kubernetes_sets_nothing(name, caplog):
    assert load(**of_a_service(name)) == load()
    assert not caplog.records


def test_no_setting_is_taken_for_a_service(caplog):
    numbers = {"chunk_size": "64", "remote_timeout_ms": "7", "remote_connections": "3"}
    config = load(**{f"KVTRANSFER_{name.upper()}": text for name, text in numbers.items()})
    assert (config.chunk_size, config.remote_timeout_ms, config.remote_connections) == (64, 7, 3)
    for name in type(config).model_fields:
        assert load(**{f"KVTRANSFER_{name.upper()}": " "}) == load()
        with pytest.raises(ConfigError, match=f"did you mean {name}"):
            load(**{f"KVTRANSFER_{name.upper()}{name[-1].upper()}": "1"})


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("KVTRANSFER_POD_NAME", "'pod_name'"),
        ("KVTRANSFER_IMAGE_TAG", "'image_tag'"),
        ("KVTRANSFER_CHUNK", "did you mean chunk_size?"),
        ("LMCACHE_CHUNKS", "did you mean chunk_size?"),
        ("LMCACHE_CHUNK_SIZ", "did you mean chunk_size?"),
        ("LMCACHE_IMAGE", "'image'"),
    ],
)
def test_a_variable_that_need_not_be_meant_for_us_is_warned_of(variable, hint, caplog):
    assert load(**{variable: "s3cret"}) == load()
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith(f"{variable}: there is no setting ")
    assert hint in said
    assert "s3cret" not in said


def test_a_file_and_variables_of_lmcache_are_read(tmp_path, caplog):
    file = tmp_path / "lmcache.yaml"
    file.write_text(
        "chunk_size: 64\nlocal_cpu: true\nmax_local_cpu_size: 5\nlocal_disk: null\n"
        "remote_url: redis://h:1\nremote_serde: naive\nuse_layerwise: true\ncache_policy: LRU\n"
        "save_decode_cache: false\n"
    )
    config = load(
        LMCACHE_CONFIG_FILE=str(file), LMCACHE_TRACK_USAGE="false", LMCACHE_MAX_LOCAL_CPU_SIZE="3"
    )
    assert (config.chunk_size, config.max_local_cpu_size, config.save_decode) == (64, 3.0, False)
    told = [record.getMessage() for record in caplog.records]
    assert [line.rpartition(": ")[2] for line in told] == ["use_layerwise", "track_usage"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"integrity_key_file": []}, r"integrity_key_file=\[\]: .* must be one path, or two"),
        ({"encryption_key_file": ["a", "b", "c"]}, "encryption_key_file must be one path, or two"),
        ({"encryption_key_file": ["a", 3]}, "encryption_key_file must be one path, or two"),
        ({"encryption_key_file": "a:"}, "encryption_key_file must be one path, or two"),
        ({"chunk_siz": 3}, "no setting 'chunk_siz'; did you mean chunk_size?"),
        ({"zzz": 3}, "no setting 'zzz'; known are chunk_size, "),
        ({"chunk_size": 0}, "chunk_size=0: chunk_size must be at least 1"),
        ({"chunk_size": -4}, "chunk_size=-4: .* at least 1"),
        ({"chunk_size": "a"}, "chunk_size='a': .* a whole number"),
        ({"chunk_size": 2.5}, "chunk_size=2.5: .* a whole number"),
        ({"chunk_size": True}, "chunk_size=True: .* a whole number"),
        ({"max_local_cpu_size": 0}, "=0: .* more than 0"),
        ({"max_local_cpu_size": -1.0}, "=-1.0: .* more than 0"),
        ({"max_local_cpu_size": float("nan")}, "nan"),
        ({"max_local_cpu_size": float("inf")}, "inf"),
        ({"local_cpu": 1}, "local_cpu=1: .* true or false"),
        ({"local_cpu": "true"}, "local_cpu='true': .* true or false"),
        ({"chunk_size": "256"}, "chunk_size='256': .* a whole number"),
        ({3: 4}, "no setting '3'"),
        ({"local_storage": 3}, "local_storage=3: .* a text"),
        ({"max_local_storage_size": -1}, "max_local_storage_size=-1: .* at least 0"),
        ({"remote_serde": "zstd"}, "'zstd': .* known are naive, lossless, auto, int8, int5, int4,"),
        ({"eviction_policy": "fifo"}, "'fifo': .* known are learned, lru, arc"),
        ({"remote_url": "host:6379"}, "'host:6379': .* redis://host:6379/0, rediss://"),
        ({"remote_url": 5}, "remote_url=5: .* a text"),
        ({"remote_url": "redis"}, "'redis': .* redis://host:6379/0"),
        ({"ttl_s": 0}, "ttl_s=0: .* at least 1"),
        ({"remote_connections": 65}, "=65: .* at most 64"),
        ({"model_name": ""}, "model_name=''"),
    ],
)
def test_bad_values_get_one_sentence_with_the_value_and_the_fix(extra, message):
    with pytest.raises(ConfigError, match=message) as e:
        load(extra)
    assert "\n" not in str(e.value)
    assert e.value.__cause__ is None
    assert e.value.__suppress_context__ or e.value.__context__ is None


def test_the_sentence_says_where_the_value_stands(tmp_path):
    with pytest.raises(ConfigError, match=r"^KVTRANSFER_CHUNK_SIZE \('abc'\): chunk_size must"):
        load(KVTRANSFER_CHUNK_SIZE="abc")
    with pytest.raises(ConfigError, match=r"^LMCACHE_LOCAL_CPU \('2'\): .* true or false"):
        load(LMCACHE_LOCAL_CPU="2")
    with pytest.raises(ConfigError, match=r"^KVTRANSFER_MAX_LOCAL_CPU_SIZE \('x'\): .* a number"):
        load(KVTRANSFER_MAX_LOCAL_CPU_SIZE="x")
    with pytest.raises(ConfigError, match=r"^KVTRANSFER_CHUNKSIZE: .*; did you mean chunk_size"):
        load(KVTRANSFER_CHUNKSIZE="1")
    file = tmp_path / "settings.yaml"
    file.write_text("chunk_size: big\n")
    with pytest.raises(ConfigError, match=r"settings.yaml: chunk_size \('big'\): chunk_size must"):
        load(KVTRANSFER_CONFIG_FILE=str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "can't read the configuration file .*: No such file"),
        ("chunk_size: [1\n", "is not YAML in line 2; "),
        ("namespace: 2024-13-45\n", "is not YAML; "),
        ("- a\n", "must hold lines like"),
        ("1: 2\n", "must hold lines like"),
        ("", "must hold lines like"),
        (b"\xff\xfe\x00", "is not YAML"),
        ("!!python/object/apply:os.getpid []\n", "is not YAML"),
    ],
)
def test_an_unreadable_file_is_told_in_one_sentence(tmp_path, content, message):
    file = tmp_path / "settings.yaml"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message) as e:
        load(KVTRANSFER_CONFIG_FILE=str(file))
    assert "\n" not in str(e.value)


def test_a_password_is_never_shown():
    url = "redis://u:t0ps3cret@h:1/0"
    config = TransferConfig.of(remote_url=url, remote_read_url=url)
    assert (config.remote_url, config.remote_read_url) == (url, url)
    assert "t0ps3cret" not in f"{config!r} {config!s} {config} {rich.pretty.pretty_repr(config)}"
    assert str(config) == repr(config)
    assert "TransferConfig(chunk_size=256, " in str(config)


@pytest.mark.parametrize(
    "wrong",
    [
        "ftp://u:t0ps3cret@h",
        "ftp://t0ps3cret@h",
        "redis//u:t0ps3cret@h",
        "u:t0ps3cret@h:6379",
        "ftp://h?password=t0ps3cret",
        ["redis://u:t0ps3cret@h"],
        {"url": "redis://:t0ps3cret@h"},
        b"redis://u:t0ps3cret@h",
    ],
)
@pytest.mark.parametrize("name", ["remote_url", "chunk_size"])
def test_a_refused_value_shows_no_password(name, wrong):
    with pytest.raises(ConfigError, match=name) as e:
        TransferConfig.of(**{name: wrong})
    assert "t0ps3cret" not in str(e.value) + repr(e.value)


@pytest.mark.parametrize("password", ["!t0ps3cret x", "*t0ps3cret", '"\\t0ps3cret'])
def test_an_unreadable_file_shows_no_password(tmp_path, password):
    file = tmp_path / "settings.yaml"
    file.write_text(f"extra_config:\n  redis_password: {password}\n")
    with pytest.raises(ConfigError, match="is not YAML in line") as e:
        load(KVTRANSFER_CONFIG_FILE=str(file))
    assert "t0ps3cret" not in str(e.value)


def test_a_password_command_is_a_text_a_list_or_a_function(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text("remote_password_command: [get-token, my cache]\n")
    config = load(KVTRANSFER_CONFIG_FILE=str(file))
    assert config.remote_password_command == ("get-token", "my cache")
    assert TransferConfig.of(remote_password_command=lambda: "x").remote_password_command() == "x"


@pytest.mark.parametrize("wrong", ["get --key 't0ps3cret", ["get", 3], [], "", 3])
def test_a_refused_password_command_shows_no_argument(wrong):
    with pytest.raises(ConfigError, match="a program and its arguments") as e:
        TransferConfig.of(remote_password_command=wrong)
    assert "t0ps3cret" not in str(e.value)


def test_the_arguments_of_a_password_command_are_not_shown():
    config = TransferConfig.of(remote_password_command="get --key t0ps3cret")
    assert "remote_password_command='get'" in repr(config)
    assert "t0ps3cret" not in f"{config} {rich.pretty.pretty_repr(config)}"


def test_a_config_is_frozen():
    config = TransferConfig.of()
    with pytest.raises(ValueError, match="frozen"):
        config.chunk_size = 3
    assert pickle.loads(pickle.dumps(config)) == config


@given(
    st.dictionaries(
        st.sampled_from(sorted(TransferConfig.model_fields)),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    )
)
def test_anything_is_either_valid_or_refused(settings):
    config = None
    with contextlib.suppress(ConfigError):
        config = TransferConfig.of(**settings)
    for name, value in settings.items() if config else ():
        meant = "naive" if (name, value) == ("remote_serde", None) else value
        read = getattr(config, name)
        if name == "remote_password_command" and read:
            assert read == tuple(shlex.split(value))
            continue
        if isinstance(read, tuple):  # the paths of key files
            read = os.pathsep.join(read)
        assert read in (meant, str(meant), str(meant).lower())


def test_a_router_is_known_by_its_name_and_yaml_reads_off_as_false(tmp_path):
    assert TransferConfig.of(kv_events="llm-d").kv_events == "llm-d"
    with pytest.raises(ConfigError, match=r"kv_events='lmd'.*known are off, vllm-router, dynamo"):
        TransferConfig.of(kv_events="lmd")
    with pytest.raises(ConfigError, match="kv_events_pool"):
        TransferConfig.of(kv_events_pool="")
    file = tmp_path / "kvtransfer.yaml"
    file.write_text("kv_events: off")
    assert load(KVTRANSFER_CONFIG_FILE=str(file)).kv_events == "off"
