"""The files of deploy/: valid by Kubernetes's schema, and without anything that doctor would change."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from kvtransfer.cli import main
from kvtransfer.config import TransferConfig
from kvtransfer.operate.doctor.vllm_rules import Arguments, judge_vllm
from tests.stores.redis.servers import Server, redis_binary

DEPLOY = Path(__file__).parents[1] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OBJECTS = [
    each
    for path in sorted(DEPLOY.glob("kubernetes/*.yaml"))
    for each in yaml.safe_load_all(path.read_text())
]
OPERATED = list(yaml.safe_load_all((DEPLOY / "redis-operator" / "redis.yaml").read_text()))
KSERVED = yaml.safe_load((DEPLOY / "kserve" / "llm-inference-service.yaml").read_text())
PAGE = (DEPLOY.parent / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def named(kind, name):
    (found,) = (
        each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)
    )
    return found


def container(name):
    (only,) = named("Deployment", name)["spec"]["template"]["spec"]["containers"]
    return only


@pytest.mark.parametrize(
    "each", OBJECTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}"
)
@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_an_object_fits_the_schema(each, version):
    kubernetes_validate.validate(each, version, strict=True)


def _kserved():
    (only,) = KSERVED["spec"]["template"]["containers"]
    return only


def _started_by_kserve():
    """The arguments as KServe's script has them: it evaluates the variable in a shell's command."""
    (added,) = (e["value"] for e in _kserved()["env"] if e["name"] == "VLLM_ADDITIONAL_ARGS")
    script = "eval \"exec printf '%s\\n' ${VLLM_ADDITIONAL_ARGS}\""
    environment = {**os.environ, "VLLM_ADDITIONAL_ARGS": added}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    name, value = done.stdout.splitlines()
    return [f"{name}={value}"]


@pytest.mark.parametrize(
    "arguments",
    [container("vllm")["args"], COMPOSE["services"]["vllm-0"]["command"], _started_by_kserve()],
    ids=["kubernetes", "compose", "kserve"],
)
def test_doctor_would_change_nothing_of_vllms_arguments(arguments):
    (option,) = (each for each in arguments if each.startswith("--kv-transfer-config"))
    json.loads(option.partition("=")[2])
    assert list(judge_vllm(Arguments(f"serve '{option}'"), TransferConfig.of())) == []


@pytest.mark.parametrize(
    "names",
    [
        [each["name"] for each in container("vllm")["env"]],
        list(COMPOSE["services"]["vllm-0"]["environment"]),
        [each["name"] for each in _kserved()["env"]],
    ],
    ids=["kubernetes", "compose", "kserve"],
)
def test_each_setting_is_one_of_ours(names):
    settings = [name for name in names if name.startswith("KVTRANSFER_")]
    assert settings
    for name in settings:
        assert name.removeprefix("KVTRANSFER_").lower() in TransferConfig.model_fields


def test_what_is_referred_to_is_there():
    spec = named("Deployment", "kvtransfer-store")["spec"]["template"]["spec"]
    assert (
        spec["volumes"][0]["configMap"]["name"]
        == named("ConfigMap", "kvtransfer-store")["metadata"]["name"]
    )
    env = {each["name"]: each.get("value") for each in container("vllm")["env"]}
    host = re.match(r"redis://([\w-]+):6379/0", env["KVTRANSFER_REMOTE_URL"])[1]
    assert named("Service", host)["spec"]["selector"] == {"app": "kvtransfer-store"}
    folder, _, file = env["KVTRANSFER_REMOTE_PASSWORD_FILE"].rpartition("/")
    assert folder in [each["mountPath"] for each in container("vllm")["volumeMounts"]]
    assert file == container("kvtransfer-store")["env"][0]["valueFrom"]["secretKeyRef"]["key"]
    allowed = named("NetworkPolicy", "kvtransfer-store")["spec"]["ingress"][0]["from"][0]
    labels = named("Deployment", "vllm")["spec"]["template"]["metadata"]["labels"]
    assert allowed["podSelector"]["matchLabels"] == labels


def test_kserves_engines_reach_the_store():
    allowed = named("NetworkPolicy", "kvtransfer-store")["spec"]["ingress"][0]["from"][0]
    assert KSERVED["spec"]["labels"] == allowed["podSelector"]["matchLabels"]
    env = {each["name"]: each for each in _kserved()["env"]}
    of_store = container("kvtransfer-store")["env"][0]["valueFrom"]
    assert env["PASSWORD"]["valueFrom"] == of_store == _operated()["valueFrom"]
    url = env["KVTRANSFER_REMOTE_URL"]["value"]
    assert url == "redis://:$(PASSWORD)@kvtransfer-store:6379/0"
    assert named("Service", "kvtransfer-store")["spec"]["ports"][0]["port"] == 6379


def _operated():
    """Where the operator's Redis has its password, as a container would have it."""
    secret = OPERATED[1]["spec"]["kubernetesConfig"]["redisSecret"]
    return {"valueFrom": {"secretKeyRef": {"name": secret["name"], "key": secret["key"]}}}


def test_the_operators_redis_is_called_as_the_page_says():
    settings, redis = OPERATED
    assert redis["spec"]["redisConfig"]["additionalRedisConfig"] == settings["metadata"]["name"]
    assert f"redis://{redis['metadata']['name']}:6379/0" in PAGE


def test_each_file_is_on_the_page():
    files = {str(path.relative_to(DEPLOY.parent)) for path in DEPLOY.rglob("*") if path.is_file()}
    assert files - {"deploy/Dockerfile.dockerignore"} == set(
        re.findall(r"^\| `(deploy/[^`]+)` \|", PAGE, re.MULTILINE)
    )


def test_the_page_sets_variables_that_compose_asks_for():
    (command,) = re.findall(r"^(\S+=.*) docker compose", PAGE, re.MULTILINE)
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    assert "REDIS_PASSWORD" in set(re.findall(r"(\w+)=", command)) <= asked


def _of_operator():
    share = OPERATED[1]["spec"]["redisConfig"]["maxMemoryPercentOfLimit"]
    limit = OPERATED[1]["spec"]["kubernetesConfig"]["resources"]["limits"]["memory"]
    gib = int(limit.removesuffix("Gi"))
    more = OPERATED[0]["data"]["redis-additional.conf"].splitlines()
    return [f"maxmemory {gib * (1 << 30) * share // 100}", *more]


def _of_kubernetes():
    return named("ConfigMap", "kvtransfer-store")["data"]["valkey.conf"].splitlines()


def _of_compose():
    words = COMPOSE["services"]["redis"]["command"][3:]
    words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in words]
    pairs = zip(words[::2], words[1::2], strict=True)
    return [f"{name.removeprefix('--')} {value or chr(34) * 2}" for name, value in pairs]


@pytest.mark.parametrize(
    "lines",
    [_of_kubernetes(), _of_compose(), _of_operator()],
    ids=["kubernetes", "compose", "operator"],
)
def test_doctor_would_change_nothing_of_the_server(lines, tmp_path, monkeypatch, capsys):
    server = Server(redis_binary(), tmp_path, *lines)
    try:
        monkeypatch.setenv("KVTRANSFER_REMOTE_URL", server.url)
        status = main(["doctor", "--chunk-mib", "1"])
    finally:
        server.kill()
    assert (status, "nothing to change" in capsys.readouterr().out) == (0, True)


def test_the_image_installs_what_is_here():
    text = (DEPLOY / "Dockerfile").read_text()
    assert "COPY . /opt/kvtransfer" in text
    assert re.search(r"ARG VLLM=v0\.3[123]\.0", text)
