"""What the command needs: an environment with the dependencies that are declared, and no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.test_installing import install, unpacked

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "vllm", "triton", "transformers", "matplotlib")
PROMPTS = [
    {"timestamp": n, "tokens": 1024, "hashes": [f"a{n % 5}", f"b{n % 5}"]} for n in range(20)
]
PRICES = "host_gib_month_eur: 2\ndisk_gib_month_eur: 0.1\ngpu_hour_eur: 2\n"


def requirements(texts, extras=frozenset()):
    """Those of ``texts`` that hold here."""
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def closed(texts):
    """The distributions that ``texts`` require, and what those require."""
    found, waiting = {}, list(requirements(texts))
    while waiting:
        requirement = waiting.pop()
        if requirement.name not in found or requirement.extras - found[requirement.name][1]:
            of = distribution(requirement.name)
            found[requirement.name] = of, requirement.extras
            waiting += requirements(of.requires or (), requirement.extras)
    return [of for of, _ in found.values()]


def link(of, site):
    """Put the files of a distribution into ``site`` as links to what is installed here."""
    for top in {file.parts[0] for file in of.files} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(of.locate_file(top)).absolute())


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment with kvtransfer, its dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for of in closed(project["dependencies"]):
        link(of, site)
    install(unpacked("tar", tmp_path_factory.mktemp("clone")), site)
    return folder


@pytest.fixture
def ran(environment, tmp_path):
    (tmp_path / "trace.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in PROMPTS))
    (tmp_path / "prices.yaml").write_text(PRICES)
    (tmp_path / "lmcache.yaml").write_text("chunk_size: 256\n")

    def run(*arguments, module="kvtransfer"):
        return subprocess.run(
            [environment / "bin" / "python", "-m", module, *arguments],
            cwd=tmp_path,
            env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_heavy_is_not_there(ran, name):
    assert f"No module named {name}" in ran(module=name).stderr


@pytest.mark.parametrize(
    "command",
    [
        "simulate trace.jsonl --host 50%,100% --policy lru",
        "simulate trace.jsonl --host 50% --json",
        "simulate trace.jsonl --budget 8 --prices prices.yaml",
        f"simulate --break-even --model {ROOT}/examples/models/llama-3.1-8b.json",
        "trace info trace.jsonl",
        "migrate lmcache.yaml",
        "top http://127.0.0.1:9 --count 1 --interval 0.1",
    ],
)
def test_a_verb_without_a_store_runs(ran, command):
    done = ran(*command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.fixture(params=["redis", "disk"])
def url(request, tmp_path):
    if request.param == "disk":
        yield f"disk://{tmp_path}/chunks"
        return
    with EmbeddedServer(512 << 20) as server:
        yield server.url


def test_a_verb_about_a_store_runs(ran, url):
    for verb in (
        "bench --mib 1 --total-mib 8",
        "ls",
        "du",
        "verify",
        "watch --count 1 --interval 0.1",
    ):
        name, *options = verb.split()
        done = ran(name, url, *options)
        assert done.returncode == 0, done.stderr
    assert ran("report", url, "--output", "page.html").returncode == 0
    model = ("--model", str(ROOT / "examples" / "models" / "llama-3.1-8b.json"))
    judged = ran("doctor", url, "--chunk-mib", "1", *model, "--prefill-tokens-per-s", "1", "--json")
    assert judged.returncode in (0, 1), judged.stderr
    assert '"pays-from"' in judged.stdout


def test_a_picture_and_the_library_say_what_they_need(ran, tmp_path):
    done = ran("simulate", "trace.jsonl", "--plot", "a.png")
    assert done.returncode == 2
    assert done.stderr.startswith("kvtransfer: --plot needs matplotlib")
    (tmp_path / "asks.py").write_text("import kvtransfer\nkvtransfer.KVTransfer\n")
    last = ran(module="asks").stderr.splitlines()[-1]
    assert last.endswith(
        "KVTransfer needs torch, which an engine brings; without one: pip install '.[torch]'"
    )
