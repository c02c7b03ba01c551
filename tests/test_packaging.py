import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import kvtransfer

ROOT = Path(__file__).parents[1]
INSTALL = ROOT / "scripts" / "install"


def python(code, **options):
    """Run ``code`` in a fresh interpreter in the repository's root."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("folder", ["kernels", "connector"])
def test_a_link_leads_to_the_top_level_folder(folder):
    link = ROOT / "kvtransfer" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder
    assert link.resolve() == ROOT / folder


@pytest.mark.parametrize(
    ("package", "folder"),
    [("kvtransfer", "kvtransfer"), ("kvtransfer.kernels", "kernels")],
)
def test_each_package_has_one_home(package, folder):
    module = importlib.import_module(package)
    assert Path(module.__file__).resolve().parent == ROOT / folder


def test_importing_the_library_loads_neither_vllm_nor_redis():
    heavy = "{'vllm', 'redis', 'triton', 'cupy', 'transformers'} & set(sys.modules)"
    done = python(f"import sys, kvtransfer; kvtransfer.KVTransfer.open; print({heavy})")
    assert done.stdout.strip() == "set()", done.stderr


def test_a_bare_kernels_has_nothing_to_offer():
    done = python("import kernels; kernels.open_copy")
    assert done.returncode != 0
    assert "import kvtransfer.kernels" in done.stderr


@pytest.mark.vllm
def test_transformers_is_not_confused_by_the_folder_kernels():
    done = python("import kernels, transformers.activations")
    assert done.returncode == 0, done.stderr


def test_types_are_shipped():
    assert (ROOT / "kvtransfer" / "py.typed").is_file()


def test_vllm_finds_the_connector_by_name():
    group = importlib.metadata.entry_points(group="vllm.general_plugins")
    assert group["kvtransfer"].value == "kvtransfer.connector.plugin:register"


def test_the_plugin_is_cheap():
    heavy = "{'torch', 'redis', 'vllm'} & set(sys.modules)"
    done = python(f"import sys, kvtransfer.connector.plugin; print({heavy})")
    assert done.stdout.strip() == "set()", done.stderr


def test_no_hint_names_an_index_where_we_are_not():
    sources = [*ROOT.glob("kvtransfer/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    assert len(sources) > 80
    wrong = [path.name for path in sources if re.search(r"install '?kvtransfer", path.read_text())]
    assert wrong == []


def test_the_package_tells_its_version_and_its_names():
    assert kvtransfer.__version__ == importlib.metadata.version("kvtransfer")
    assert {*kvtransfer.__all__, "__version__"} <= set(dir(kvtransfer))
    done = subprocess.run(
        [sys.executable, "-m", "kvtransfer", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"kvtransfer {kvtransfer.__version__}\n"


def test_the_changelog_tells_of_this_version():
    headings = re.findall(r"^## \[(.+)\].*", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", kvtransfer.__version__]


def test_the_pythons_that_are_named_are_those_that_the_installation_takes():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [text.rpartition(" :: 3.")[2] for text in project["classifiers"] if " :: 3." in text]
    low, high = re.search(r"\(3, (\d+)\) <= .* < \(3, (\d+)\)", INSTALL.read_text()).groups()
    assert named == [str(minor) for minor in range(int(low), int(high))]
    assert project["requires-python"] == f">=3.{low}"
