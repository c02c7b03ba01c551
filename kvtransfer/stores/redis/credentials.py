"""Reads a server's password from a file, and hides passwords in messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Iterable


class PasswordFile(CredentialProvider):
    """Gives redis-py the password in a file, read anew for each connection, as it may change."""

    def __init__(self, user: str | None, path: str) -> None:
        self._user = user
        self._path = path
        self._last = ""
        """The password that was read for the latest connection."""

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See redis-py."""
        try:
            self._last = Path(self._path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or "it is not UTF-8"
            raise AuthenticationError(f"can't read the password in {self._path}: {cause}") from None
        return (self._user, self._last) if self._user else (self._last,)

    def secrets(self) -> list[str]:
        """Return the passwords that no message may show."""
        return [self._last]


def hidden(text: str, secrets: Iterable[str | None]) -> str:
    """Replace each of ``secrets`` in ``text``; some servers and proxies echo AUTH."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
