from __future__ import annotations

import sys
import time

import pytest
from redis.exceptions import AuthenticationError

from kvtransfer.stores.redis import password_command
from kvtransfer.stores.redis.password_command import printed


def python(code):
    return (sys.executable, "-c", code, "t0ps3cret")


def test_what_it_prints_is_the_password():
    assert printed(python("print('a b')")) == "a b"


def test_no_shell_reads_the_arguments():
    assert printed(("echo", "$HOME; id")) == "$HOME; id"


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (
            ("/no/such/program", "t0ps3cret"),
            "can't run the password command /no/such/program: No such",
        ),
        (("echo", "t0p\0s3cret"), "holds a NUL"),
        (python("import sys; print('t0ps3cret'); sys.exit('t0ps3cret')"), "ended with status 1"),
        (python("pass"), "printed no text"),
        (python("import os; os.write(1, bytes([0xff]))"), "printed no text"),
    ],
)
def test_a_failure_names_the_program_and_no_secret(argv, cause):
    with pytest.raises(AuthenticationError, match=cause) as e:
        printed(argv)
    assert "t0p" not in str(e.value)


def test_a_program_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(password_command, "_LONGEST_S", 0.1)
    began_s = time.monotonic()
    with pytest.raises(AuthenticationError, match="took more than"):
        printed(python("import time; time.sleep(100)"))
    assert time.monotonic() - began_s < 60
