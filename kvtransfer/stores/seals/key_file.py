"""Reads secrets from files, once, at start; they are shown nowhere."""

from __future__ import annotations

import logging
import os
import re
import stat

from pydantic import SecretBytes

from kvtransfer.errors import ConfigError

_LOG = logging.getLogger("kvtransfer")
_LEAST_BYTES = 32
_MOST_BYTES = 4096
_HEX = re.compile(rb"[0-9A-Fa-f]+")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_key(path: str, setting: str) -> SecretBytes:
    """Return the secret in the file ``path``, which ``setting`` names: hex digits, or plain bytes.

    Raises:
        ConfigError: the file is missing, can't be read, or holds too few or too many bytes.
    """
    content = _content(path, setting)
    if content.isascii():  # drops the newline that an editor adds
        content = content.strip()
    if _HEX.fullmatch(content):
        content = bytes.fromhex(content[: len(content) // 2 * 2].decode())
    if not _LEAST_BYTES <= len(content) <= _MOST_BYTES:
        raise ConfigError(
            f"{setting}: {path} must hold a secret of {_LEAST_BYTES} to {_MOST_BYTES} bytes, "
            f"as `openssl rand -hex {_LEAST_BYTES}` prints one"
        )
    return SecretBytes(content)


def _content(path: str, setting: str) -> bytes:
    try:
        # Without blocking, as it may be a pipe without a writer.
        with open(path, "rb", opener=_opened) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{setting}: {path} is not a regular file")
            content = file.read(4 * _MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"{setting}: can't read {path}: {error.strerror}") from None
    if mode & _OTHERS:
        _LOG.warning(
            "%s: others may use %s (mode %o); make it yours alone: chmod 600 %s",
            setting, path, stat.S_IMODE(mode), path,
        )  # fmt: skip
    return content


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
