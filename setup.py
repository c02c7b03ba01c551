"""Build the one import package, ``kvtransfer``.

``kvtransfer/kernels`` and ``kvtransfer/connector`` are relative links to the folders of the same
name beside this file: readers find both at the top, while type checkers, pytest, wheels and
editable installs see one ordinary package. ``tests/test_packaging.py`` guards them.
"""

from setuptools import find_packages, setup

setup(packages=find_packages(include=["kvtransfer", "kvtransfer.*"]))
