"""Runs a program that prints a server's password."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_S = 10.0


def printed(argv: Sequence[str]) -> str:
    """Run ``argv``, without a shell and for ten seconds at most, and return what it prints.

    The program gets no input, and what it writes as errors goes nowhere, as it may hold secrets.

    Raises:
        AuthenticationError: it can't be started, fails, takes longer, or prints no text. The
            message names the program and shows nothing else of its arguments or its output.
    """
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise AuthenticationError(
            f"the password command {argv[0]} took more than {_LONGEST_S:.0f} s"
        ) from None
    except (OSError, ValueError) as error:  # a NUL in an argument is a ValueError
        cause = getattr(error, "strerror", None) or "an argument holds a NUL"
        raise AuthenticationError(f"can't run the password command {argv[0]}: {cause}") from None
    if ended.returncode:
        raise AuthenticationError(
            f"the password command {argv[0]} ended with status {ended.returncode}; run it by hand "
            "as this user to see why"
        )
    return _text(ended.stdout, argv[0])


def _text(output: bytes, program: str) -> str:
    try:
        text = output.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise AuthenticationError(f"the password command {program} printed no text")
    return text
