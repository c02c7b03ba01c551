"""What a user installs, whichever way it came: an archive, a source distribution, an editable one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IMPORTS = """
import sys, kvtransfer.kernels.reference, kvtransfer.connector.plugin, kvtransfer
print(kvtransfer.__version__, kvtransfer.kernels.__file__, kvtransfer.connector.__file__)
"""
BACKEND = "import sys, setuptools.build_meta as build; print(build.{}(sys.argv[1]))"
# Only what is named is on the path: the environment has an editable install of its own.
EDITABLE = f"""
import site, sys
site.addsitedir(sys.argv[1])
sys.path.append(sys.argv[2])
{IMPORTS}"""


def done(command, cwd, **environ):
    """The last line that ``command`` prints in ``cwd``, where only ``environ`` says what to import."""
    environ = {**os.environ, "PYTHONPATH": "", **environ}
    ran = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.splitlines()[-1]


def unpacked(kind, folder):
    """The repository as it is here, out of an archive of ``kind``."""
    git = ["git", "-C", str(ROOT)]
    changed = subprocess.run([*git, "stash", "create"], capture_output=True, text=True, check=True)
    commit = changed.stdout.strip() or "HEAD"
    archive = f"{folder}/all.{kind}"
    command = [*git, "archive", f"--format={kind}", f"--output={archive}", commit]
    subprocess.run(command, check=True)
    shutil.unpack_archive(archive, folder / "sources")
    return folder / "sources"


@pytest.fixture(scope="module")
def without_links(tmp_path_factory):
    """What a download as a zip file leaves on a disk: of a link, its text."""
    return unpacked("zip", tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="module")
def with_links(tmp_path_factory):
    """What a clone is."""
    return unpacked("tar", tmp_path_factory.mktemp("tar"))


def install(source, target):
    """``pip install`` without what is here already."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
    done([*pip, "--no-build-isolation", "--target", str(target), str(source)], target.parent)


def assert_whole(target):
    """All of the package is in ``target``."""
    code = [sys.executable, "-c", IMPORTS]
    _, *homes = done(code, target.parent, PYTHONPATH=str(target)).split()
    package = target / "kvtransfer"
    assert homes == [str(package / name / "__init__.py") for name in ("kernels", "connector")]
    assert (package / "py.typed").is_file()
    assert (package / "calibrations.json").is_file()


def test_one_has_links_and_the_other_has_not(with_links, without_links):
    assert (with_links / "kvtransfer" / "kernels").is_symlink()
    assert (without_links / "kvtransfer" / "kernels").is_file()


def test_a_download_is_installed_whole_and_its_quickstart_runs(without_links, tmp_path):
    install(without_links, tmp_path / "site")
    assert_whole(tmp_path / "site")
    quickstart = [sys.executable, "examples/quickstart.py"]
    printed = done(quickstart, without_links, PYTHONPATH=str(tmp_path / "site"))
    assert printed == "the blocks are equal, bit by bit"


def test_a_source_distribution_is_installed_whole(with_links, tmp_path):
    command = [sys.executable, "-c", BACKEND.format("build_sdist"), str(tmp_path)]
    install(tmp_path / done(command, with_links), tmp_path / "site")
    assert_whole(tmp_path / "site")


@pytest.mark.parametrize("sources", ["with_links", "without_links"])
def test_an_editable_install_leads_to_the_folders(request, sources, tmp_path):
    folder, target = request.getfixturevalue(sources), tmp_path / "site"
    command = [sys.executable, "-c", BACKEND.format("build_editable"), str(tmp_path)]
    shutil.unpack_archive(tmp_path / done(command, folder), target, "zip")
    others = Path(pytest.__file__).parents[1]
    code = [sys.executable, "-S", "-c", EDITABLE, str(target), str(others)]
    _, *homes = done(code, tmp_path).split()
    assert {Path(home).resolve() for home in homes} == {
        folder / name / "__init__.py" for name in ("kernels", "connector")
    }
