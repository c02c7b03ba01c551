"""Deployments with one thing wrong each, which doctor finds, and one that is right."""

from __future__ import annotations

import json
import os
import shlex
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from kvtransfer.stores import StoreSettings
from kvtransfer.stores.embedded.address import free_port
from kvtransfer.stores.embedded.server import EmbeddedServer
from kvtransfer.stores.open import open_entries
from tests.operate.entries import FACTS, key_of
from tests.stores.redis.certificates import Authority
from tests.stores.redis.servers import PASSWORD, Server, redis_binary

GOOD_SERVER = ("maxmemory 2gb", "maxmemory-policy allkeys-lru")
GOOD_VLLM = {
    "kv_connector": "KVTransferConnector",
    "kv_role": "kv_both",
    "kv_load_failure_policy": "recompute",
}


@dataclass
class Deployment:
    """What doctor is to look at; a case changes one thing."""

    folder: os.PathLike
    server: list = field(default_factory=lambda: list(GOOD_SERVER))
    environment: dict = field(default_factory=dict)
    vllm: dict = field(default_factory=lambda: dict(GOOD_VLLM))
    vllm_words: list = field(default_factory=list)
    url: str | None = None
    """Instead of the server's, in the environment."""
    argument: bool = False
    """Whether the URL is an argument."""
    before: list = field(default_factory=list)
    """What is done with the running server: each is called with it and an ExitStack."""

    def set(self, **settings):
        self.environment |= {f"KVTRANSFER_{k.upper()}": str(v) for k, v in settings.items()}

    def secret(self, name, mode):
        path = self.folder / name
        path.write_text("0123456789abcdef" * 4)
        path.chmod(mode)
        return path


def on_server(*lines):
    def plant(deployment):
        deployment.server += lines

    return plant


def in_settings(**settings):
    return lambda deployment: deployment.set(**settings)


def in_vllm(**fields):
    def plant(deployment):
        deployment.vllm |= fields

    return plant


def replaced(*lines):
    def plant(deployment):
        deployment.server = list(lines)

    return plant


def open_key_file(deployment):
    deployment.set(integrity_key_file=deployment.secret("key", 0o644))


def missing_policy(deployment):
    del deployment.vllm["kv_load_failure_policy"]


def many_clients(deployment):
    deployment.server += ("maxclients 10",)

    def connect(server, running):
        for _ in range(6):
            client = running.enter_context(redis.Redis(port=server.port, password=PASSWORD))
            client.ping()
        for client in [redis.Redis(port=server.port, password=PASSWORD) for _ in range(2)]:
            running.callback(client.close)
            client.ping()

    deployment.before.append(connect)


def damaged_entry(deployment):
    def damage(server, running):
        with closing(open_entries(server.url, StoreSettings())) as store:
            store.put(key_of(1), memoryview(bytes(1000)), FACTS)
        with server.client() as client:
            client.setrange(f"{key_of(1)}_bytes", 10, b"x")

    deployment.before.append(damage)


def entry_of_another_key(deployment):
    deployment.set(integrity_key_file=deployment.secret("key", 0o600))

    def put(server, running):
        with closing(open_entries(server.url, StoreSettings())) as store:
            store.put(key_of(1), memoryview(bytes(1000)), FACTS)

    deployment.before.append(put)


def with_url(url, **settings):
    def plant(deployment):
        deployment.url = url
        deployment.set(**settings)

    return plant


def lonely_cluster_node(deployment):
    deployment.server += ["cluster-enabled yes", f"cluster-port {free_port()}"]


def over_tls(options):
    def plant(deployment):
        authority = Authority(deployment.folder)
        signed, port = authority.sign("server"), free_port()
        deployment.server += [
            f"tls-port {port}",
            f"tls-cert-file {signed.certificate}",
            f"tls-key-file {signed.key}",
            f"tls-ca-cert-file {authority.certificate}",
            "tls-auth-clients no",
        ]
        asked = options.format(authority=authority.certificate)
        deployment.url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0?{asked}"

    return plant


def no_rights(deployment):
    deployment.server.append(f"user weak on >{PASSWORD} ~* +hello +ping +info +select")
    deployment.url = f"redis://weak:{PASSWORD}@127.0.0.1:PORT/0"


def url_as_argument(deployment):
    deployment.argument = True


def without_prefix_caching(deployment):
    deployment.vllm_words.append("--no-enable-prefix-caching")


def with_quotas(text):
    def plant(deployment):
        path = deployment.folder / "quotas.yaml"
        path.write_text(text)
        deployment.set(quotas_file=path)

    return plant


def no_scripts(deployment):
    with_quotas("remote: {each_tenant: 0.5}")(deployment)
    rights = "~* &* +@all -@scripting"
    deployment.server.append(f"user plain on >{PASSWORD} {rights}")
    deployment.url = f"redis://plain:{PASSWORD}@127.0.0.1:PORT/0"


def odd_blocks(deployment):
    deployment.vllm_words.append("--block-size=48")


PLANTED = {
    "maxmemory": replaced(),
    "noeviction": replaced("maxmemory 2gb"),
    "volatile": replaced("maxmemory 2gb", "maxmemory-policy volatile-lru"),
    "random": replaced("maxmemory 2gb", "maxmemory-policy allkeys-random"),
    "small": replaced("maxmemory 200mb", "maxmemory-policy allkeys-lru"),
    "appendonly": on_server("appendonly yes"),
    "snapshots": on_server("save 60 1"),
    "output-limit": on_server("client-output-buffer-limit normal 16mb 8mb 60"),
    "bulk-length": on_server("proto-max-bulk-len 16mb"),
    "timeout": on_server("timeout 30"),
    "min-replicas": on_server("min-replicas-to-write 1"),
    "replica": on_server("replicaof 127.0.0.1 1"),
    "cluster": lonely_cluster_node,
    "coverage": lonely_cluster_node,
    "maxclients": many_clients,
    "damaged": damaged_entry,
    "other-key": entry_of_another_key,
    "store": with_url("redis://:wrong@127.0.0.1:PORT/0"),
    "certificate": over_tls("ssl_ca_certs={authority}"),
    "tls-unverified": over_tls("ssl_cert_reqs=none"),
    "plain": with_url("redis://cache.invalid:6379/0"),
    "password": url_as_argument,
    "no-store": with_url(""),
    "settings": in_settings(chunk_sise=128),
    "key-file": open_key_file,
    "host-memory": in_settings(max_local_cpu_size=100_000),
    "folder-full": in_settings(local_storage="/var/tmp/kvtransfer", max_local_storage_size=1e6),
    "folder-memory": in_settings(local_storage="/dev/shm/kvtransfer", max_local_storage_size=0.001),
    "write-back": in_settings(write_policy="write_back", local_cpu="false"),
    "admit-chance": in_settings(write_policy="write_back", admit_chance=0.9),
    "ttl": in_settings(ttl_s=5),
    "margin": in_settings(load_margin=10),
    "eval": no_scripts,
    "quota-room": with_quotas("remote: {models: {a: 1.5, b: 0.6}}"),
    "connector": in_vllm(kv_connector="LMCacheConnectorV1"),
    "failure-policy": missing_policy,
    "role": in_vllm(kv_role="both"),
    "prefix-caching": without_prefix_caching,
    "block-size": odd_blocks,
}


def findings(deployment, run, monkeypatch, tmp_path):
    """What doctor says of ``deployment``, by name."""
    with ExitStack() as running:
        server = Server(redis_binary(), tmp_path, *deployment.server)
        running.callback(server.kill)
        for before in deployment.before:
            before(server, running)
        url = server.url if deployment.url is None else deployment.url
        url = url.replace("PORT", str(server.port))
        for name in [name for name in os.environ if name.startswith("KVTRANSFER_")]:
            monkeypatch.delenv(name)
        for name, value in deployment.environment.items():
            monkeypatch.setenv(name, value)
        if url and not deployment.argument:
            monkeypatch.setenv("KVTRANSFER_REMOTE_URL", url)
        words = ["serve", "--kv-transfer-config", json.dumps(deployment.vllm)]
        arguments = ["--vllm-args", shlex.join([*words, *deployment.vllm_words])]
        if url and deployment.argument:
            arguments.insert(0, url)
        ran = run("doctor", *arguments, "--chunk-mib", 1, "--json")
    assert ran.status == bool(ran.objects), ran
    assert PASSWORD not in ran.out + ran.err
    return {each["name"]: each for each in ran.objects}


def test_a_good_deployment_is_left_alone(run, monkeypatch, tmp_path):
    assert findings(Deployment(tmp_path), run, monkeypatch, tmp_path) == {}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_wrong_is_found(name, run, monkeypatch, tmp_path):
    deployment = Deployment(tmp_path)
    PLANTED[name](deployment)
    found = findings(deployment, run, monkeypatch, tmp_path)
    assert name in found
    assert found[name]["what"]
    assert found[name]["change"]


def test_quotas_that_a_server_can_keep_are_left_alone(run, monkeypatch, tmp_path):
    deployment = Deployment(tmp_path)
    with_quotas("remote: {each_tenant: 0.5, models: {a: 1.5}}")(deployment)
    assert findings(deployment, run, monkeypatch, tmp_path) == {}


def test_settings_are_shown_without_secrets(run, monkeypatch, tmp_path):
    deployment = Deployment(tmp_path)
    with Server(redis_binary(), tmp_path).client() as client:
        port = client.connection_pool.connection_kwargs["port"]
    secret = "kept-to-us"
    settings = {
        "remote_url": f"redis://:{secret}@127.0.0.1:{port}/0",
        "remote_read_url": f"redis://:{secret}@127.0.0.1:{port}/0",
        "max_local_cpu_size": 1.5,
    }
    deployment.set(**settings)
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)
    ran = run("doctor", "--chunk-mib", 1)
    assert secret not in ran.out + ran.err
    assert "1.5   (KVTRANSFER_MAX_LOCAL_CPU_SIZE)" in ran.out
    monkeypatch.delenv("KVTRANSFER_REMOTE_URL")
    monkeypatch.delenv("KVTRANSFER_REMOTE_READ_URL")
    command = f"printf {secret}"
    monkeypatch.setenv("KVTRANSFER_REMOTE_PASSWORD_COMMAND", command)
    ran = run("doctor", f"redis://127.0.0.1:{port}/0", "--chunk-mib", 1)
    assert secret not in ran.out + ran.err


def test_rights_that_are_missing_are_named(run, monkeypatch, tmp_path):
    deployment = Deployment(tmp_path)
    no_rights(deployment)
    found = findings(deployment, run, monkeypatch, tmp_path)
    assert "may not run the command" in found["store"]["what"]


LLAMA = Path(__file__).parents[2] / "examples" / "models" / "llama-3.1-8b.json"


def asked_of(run, rate, *more):
    """What doctor says of a good server and the small Llama, computed at ``rate``."""
    with EmbeddedServer(512 << 20) as server:
        options = ("--chunk-mib", 1, "--model", LLAMA, "--prefill-tokens-per-s", rate)
        return run("doctor", server.url, *options, *more)


@pytest.mark.parametrize(
    ("rate", "name", "status", "said"),
    [
        (
            "1",
            "pays-from",
            0,
            "a load from this store pays from 256 tokens on: over one connection",
        ),
        ("1e12", "never-pays", 1, "no load from this store pays up to 131,072 tokens: over one"),
    ],
)
def test_it_says_from_which_context_length_on_a_load_pays(run, rate, name, status, said):
    ran = asked_of(run, rate, "--json")
    (found,) = [each for each in ran.objects if each["name"] == name]
    assert found["what"].startswith(said)
    others = [each for each in ran.objects if each["level"] != "note"]
    assert ran.status == bool(others) >= status
    assert said in asked_of(run, rate).out


def test_ranks_and_codec_are_those_of_the_deployment(run, monkeypatch):
    monkeypatch.setenv("KVTRANSFER_REMOTE_SERDE", "int8")
    connector = shlex.quote(json.dumps(GOOD_VLLM))
    given = f"serve --tensor-parallel-size 4 --kv-transfer-config {connector}"
    found = {
        each["name"]: each for each in asked_of(run, "1", "--json", "--vllm-args", given).objects
    }
    assert "llama-3.1-8b.json in int8 takes" in found["pays-from"]["what"]
    assert asked_of(run, "1", "--vllm-args", given.replace("4", "3")).status == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", LLAMA], "asked with a store, --model and --prefill-tokens-per-s"),
        (["--prefill-tokens-per-s", "2"], "asked with a store, --model and --prefill-tokens-per-s"),
        (["--prefill-tokens-per-s", "much"], "--prefill-tokens-per-s: 'much' is not a number"),
        (["--model", "nowhere", "--prefill-tokens-per-s", "2"], "--model nowhere: No such file"),
    ],
)
def test_half_a_question_is_refused(run, options, said):
    ran = run("doctor", "redis://127.0.0.1:9/0", *options, "--json")
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err


def test_a_finding_is_wrapped_between_words_and_what_to_do_is_indented(in_terminal):
    lines = in_terminal(40, "doctor", "redis://127.0.0.1:1/0")
    first = next(i for i, line in enumerate(lines) if line.startswith("broken: "))
    told = [line for line in lines[first:] if not line.startswith("    ")]
    assert "Connection refused" in " ".join(told)
    change = [line for line in lines[first:] if line.startswith("    ")]
    assert [line.strip() for line in change] == [
        "mend that; until then every chunk is",
        "computed",
    ]
