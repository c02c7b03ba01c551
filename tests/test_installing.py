"""What a user installs, whichever way it came: an archive, a source distribution, an editable one."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tarfile
from email import message_from_string
from pathlib import Path

import pytest

import kvtransfer

ROOT = Path(__file__).parents[1]
IMPORTS = """
import sys, kvtransfer.kernels.reference, kvtransfer.connector.plugin, kvtransfer
print(kvtransfer.__version__, kvtransfer.kernels.__file__, kvtransfer.connector.__file__)
"""
BACKEND = "import sys, setuptools.build_meta as build; print(build.{}(sys.argv[1]))"
EPOCH = 1_700_000_000
# The source distribution lacks the former, and setuptools writes the latter.
LEFT_OUT, MADE = {".ci/run", ".gitignore"}, {"PKG-INFO", "setup.cfg"}
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
    if kind == "tar":
        return untarred(archive, folder / "sources")
    shutil.unpack_archive(archive, folder / "sources")
    return folder / "sources"


def untarred(archive, folder):
    folder.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def without_links(tmp_path_factory):
    """What a download as a zip file leaves on a disk: of a link, its text."""
    return unpacked("zip", tmp_path_factory.mktemp("zip"))


@pytest.fixture(scope="module")
def with_links(tmp_path_factory):
    """What a clone is."""
    return unpacked("tar", tmp_path_factory.mktemp("tar"))


@pytest.fixture(scope="module")
def source_distribution(with_links, tmp_path_factory):
    """Made of a clone, and dated."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-c", BACKEND.format("build_sdist"), str(folder)]
    return folder / done(command, with_links, SOURCE_DATE_EPOCH=str(EPOCH))


def files(folder):
    """Relative paths of the files in ``folder``, behind links too; none of what Python compiled."""
    names = glob.glob("**", root_dir=folder, recursive=True, include_hidden=True)
    return {name for name in names if (folder / name).is_file() and "__pycache__" not in name}


def install(source, target):
    """``pip install`` without what is here already."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--no-deps"]
    done([*pip, "--no-build-isolation", "--target", str(target), str(source)], target.parent)


def assert_whole(target, cloned):
    """All of the package that is in the folder ``cloned`` is in ``target``, and no more."""
    code = [sys.executable, "-c", IMPORTS]
    _, *homes = done(code, target.parent, PYTHONPATH=str(target)).split()
    package = target / "kvtransfer"
    assert homes == [str(package / name / "__init__.py") for name in ("kernels", "connector")]
    assert files(package) == files(cloned / "kvtransfer")


def test_one_has_links_and_the_other_has_not(with_links, without_links):
    assert (with_links / "kvtransfer" / "kernels").is_symlink()
    assert (without_links / "kvtransfer" / "kernels").is_file()


def test_a_download_is_installed_whole_and_its_quickstart_runs(with_links, without_links, tmp_path):
    install(without_links, tmp_path / "site")
    assert_whole(tmp_path / "site", with_links)
    quickstart = [sys.executable, "examples/quickstart.py"]
    printed = done(quickstart, without_links, PYTHONPATH=str(tmp_path / "site"))
    assert printed == "the blocks are equal, bit by bit"


def test_a_source_distribution_is_installed_whole(source_distribution, with_links, tmp_path):
    target = tmp_path / "site"
    install(source_distribution, target)
    assert_whole(target, with_links)
    (metadata,) = target.glob("kvtransfer-*.dist-info")
    assert {path.name for path in target.iterdir()} == {"kvtransfer", metadata.name, "bin"}
    assert (metadata / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    stated = message_from_string((metadata / "METADATA").read_text())
    assert stated["Description-Content-Type"] == "text/markdown"
    assert stated.get_payload().strip() == (ROOT / "README.md").read_text().strip()


def test_a_source_distribution_holds_what_a_clone_does(source_distribution, with_links, tmp_path):
    (top,) = untarred(source_distribution, tmp_path / "unpacked").iterdir()
    assert top.name == f"kvtransfer-{kvtransfer.__version__}"
    held, cloned = (
        {name for name in files(folder) if not name.startswith("kvtransfer.egg-info/")}
        for folder in (top, with_links)
    )
    assert held - MADE == cloned - LEFT_OUT
    assert (top / "kvtransfer" / "kernels").readlink() == Path("..", "kernels")


def test_a_source_distribution_tells_neither_its_hour_nor_its_maker(source_distribution):
    with tarfile.open(source_distribution) as archive:
        members = archive.getmembers()
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(EPOCH, 0, 0)}
    assert int.from_bytes(source_distribution.read_bytes()[4:8], "little") == EPOCH


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
