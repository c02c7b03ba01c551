"""Build the one import package, ``kvtransfer``.

``kvtransfer/kernels`` and ``kvtransfer/connector`` are relative links to the folders of the same
name beside this file: readers find both at the top, while type checkers, pytest, wheels and
editable installs see one ordinary package. A zip file and Windows make text files of links, so
both packages are built from the folders themselves. ``tests/test_installing.py`` guards that.
"""

from setuptools import find_packages, setup

LINKED = {"kvtransfer.kernels": "kernels", "kvtransfer.connector": "connector"}
INSIDE = [f"{name}.{inner}" for name, folder in LINKED.items() for inner in find_packages(folder)]
OTHERS = find_packages(
    include=["kvtransfer", "kvtransfer.*"], exclude=[*LINKED, *(f"{name}.*" for name in LINKED)]
)

setup(package_dir=LINKED, packages=[*OTHERS, *LINKED, *INSIDE])
