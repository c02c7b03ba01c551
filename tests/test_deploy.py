"""The files of deploy/: valid by Kubernetes's schema, and without anything that doctor would change."""

from __future__ import annotations

import json
import re
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


@pytest.mark.parametrize(
    "arguments",
    [container("vllm")["args"], COMPOSE["services"]["vllm-0"]["command"]],
    ids=["kubernetes", "compose"],
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
    ],
    ids=["kubernetes", "compose"],
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


def _of_kubernetes():
    return named("ConfigMap", "kvtransfer-store")["data"]["valkey.conf"].splitlines()


def _of_compose():
    words = COMPOSE["services"]["redis"]["command"][3:]
    words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in words]
    pairs = zip(words[::2], words[1::2], strict=True)
    return [f"{name.removeprefix('--')} {value or chr(34) * 2}" for name, value in pairs]


@pytest.mark.parametrize("lines", [_of_kubernetes(), _of_compose()], ids=["kubernetes", "compose"])
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
