from __future__ import annotations

import os

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.stores.seals.key_file import read_key

SETTING = "encryption_key_file"
SECRET = os.urandom(32)


def file_of(tmp_path, content, mode=0o600):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        SECRET.hex().encode(),
        SECRET.hex().upper().encode() + b"\n",
        SECRET,
    ],
    ids=["digits", "capitals", "bytes"],
)
def test_hex_digits_and_bytes_are_the_same_secret(tmp_path, content):
    assert read_key(file_of(tmp_path, content), SETTING).get_secret_value() == SECRET


def test_other_texts_are_taken_without_the_blanks_around_them(tmp_path):
    text = b"a passphrase is as good as it is long and random"
    assert read_key(file_of(tmp_path, text + b" \r\n"), SETTING).get_secret_value() == text


@pytest.mark.parametrize("content", [b"", b"\n", b"ab" * 31, b"f" * 63, b"z" * 31, b"z" * 4097])
def test_too_little_and_too_much_are_refused_and_not_shown(tmp_path, content):
    path = file_of(tmp_path, content)
    with pytest.raises(ConfigError, match=f"^{SETTING}: {path} must hold a secret of 32") as e:
        read_key(path, SETTING)
    assert len(content) < 2 or content.decode() not in str(e.value)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    wanted = {"none": "can't read .*No such file", ".": "can't read|not a regular", "pipe": "not a"}
    for name, message in wanted.items():
        with pytest.raises(ConfigError, match=f"^{SETTING}: .*{message}"):
            read_key(str(tmp_path / name), SETTING)


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o400, False), (0o640, True)])
def test_permissions_for_others_are_warned_of(tmp_path, caplog, mode, is_told):
    read_key(file_of(tmp_path, SECRET, mode), SETTING)
    told = [record.getMessage() for record in caplog.records]
    assert [f"chmod 600 {tmp_path / 'key'}" in line for line in told] == [True] * is_told


def test_a_secret_has_no_text(tmp_path):
    secret = read_key(file_of(tmp_path, SECRET.hex().encode()), SETTING)
    assert SECRET.hex() not in f"{secret} {secret!r}"
    assert repr(SECRET) not in f"{secret} {secret!r}"
