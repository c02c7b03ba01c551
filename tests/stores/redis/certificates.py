"""An authority of our own, and what it has signed, made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Elliptic keys are made in an instant.
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Signed:
    certificate: Path
    key: Path


class Authority:
    """Signs certificates for this machine, all in ``directory``."""

    def __init__(self, directory, name="authority"):
        self._directory = directory
        self._name = name
        self.certificate, self._key = directory / f"{name}.crt", directory / f"{name}.key"
        files = ("-keyout", str(self._key), "-out", str(self.certificate))
        openssl("req", "-x509", *_NEW_KEY, *files, "-days", "2", "-subj", f"/CN={name}")

    def sign(self, name, alternatives="IP:127.0.0.1,DNS:localhost"):
        stem = self._directory / f"{self._name}-{name}"
        signed = Signed(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={alternatives}\n")
        files = ("-keyout", str(signed.key), "-out", str(request))
        openssl("req", *_NEW_KEY, *files, "-subj", f"/CN={name}")
        signer = ("-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial")
        files = ("-in", str(request), "-out", str(signed.certificate))
        openssl("x509", "-req", *signer, *files, "-days", "2", "-extfile", str(extensions))
        return signed


def openssl(*arguments):
    assert shutil.which("openssl"), "no openssl: run scripts/install_system_packages"
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
