"""Build the one import package, ``kvtransfer``.

``kvtransfer/kernels`` and ``kvtransfer/connector`` are relative links to the folders of the same
name beside this file: readers find both at the top, while type checkers, pytest, wheels and
editable installs see one ordinary package. A zip file and Windows make text files of links, so
both packages are built from the folders themselves. ``tests/test_installing.py`` guards that.
"""

import os
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

DATE_S = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
LINKED = {"kvtransfer.kernels": "kernels", "kvtransfer.connector": "connector"}
INSIDE = [f"{name}.{inner}" for name, folder in LINKED.items() for inner in find_packages(folder)]
OTHERS = find_packages(
    include=["kvtransfer", "kvtransfer.*"], exclude=[*LINKED, *(f"{name}.*" for name in LINKED)]
)


class SourceDistribution(sdist):
    """Writes the source distribution with the links of a clone, so that all checks run in it.

    With ``SOURCE_DATE_EPOCH`` set, equal sources make equal bytes, as they do in a wheel.
    """

    def initialize_options(self) -> None:
        super().initialize_options()
        self.owner = self.group = "root"

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        for folder in LINKED.values():
            Path(base_dir, "kvtransfer", folder).symlink_to(Path("..", folder))
        if DATE_S:
            for path in [Path(base_dir), *Path(base_dir).rglob("*")]:
                os.utime(path, (DATE_S, DATE_S), follow_symlinks=False)

    def make_archive(self, *args: object, **options: object) -> str:
        archive = super().make_archive(*args, **options)
        if DATE_S:
            with open(archive, "r+b") as file:
                file.seek(4)  # gzip's header has the time here
                file.write(DATE_S.to_bytes(4, "little"))
        return archive


setup(
    package_dir=LINKED,
    packages=[*OTHERS, *LINKED, *INSIDE],
    cmdclass={"sdist": SourceDistribution},
)
