"""Keeps a password that has to be renewed now and then, such as a token of a cloud."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from redis.credentials import CredentialProvider
from redis.exceptions import AuthenticationError

from kvtransfer.stores.redis.last_answer import LastAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

# A server that refuses every password doesn't make us ask for one all the time.
_NOT_AGAIN_WITHIN_S = 1.0


class _Password(NamedTuple):
    text: str
    since_s: float


class RenewedPassword(CredentialProvider):
    """Gives redis-py what ``read`` returned last; a thread calls that, once at a time.

    A password that is older than ``max_age_s`` is renewed in the background, and is used until the
    new one is there. One that a server refuses is renewed before it is used again.

    Args:
        user: the name of the user; None for the default one.
        read: returns the password, in its own time.
        max_age_s: seconds after which ``read`` is called again.
    """

    def __init__(self, user: str | None, read: Callable[[], str], max_age_s: float) -> None:
        self._user = user
        self._read = read
        self._max_age_s = max_age_s
        self._answers: LastAnswer[_Password] = LastAnswer(
            self._ask, "the source of the password has not answered in time"
        )
        self._last = _Password("", 0.0)
        self._before = ""
        """The password before the last one, which messages may still quote."""

    def wait(self, deadline_s: float) -> str:
        """Return the password for a connection that is opened now, as soon as there is one.

        Raises:
            TimeoutError: redis-py's, where there is none by ``deadline_s`` of ``time.monotonic``.
            AuthenticationError: its source has failed.
        """
        if time.monotonic() >= self._last.since_s + self._max_age_s:
            self._answers.renew()
        return self._answers.get(deadline_s).text

    def after(self, refused: str, deadline_s: float) -> str:
        """Return a password to try where a server has refused ``refused``; raises as ``wait`` does.

        It is the same one where the source was asked a moment ago or gives no other.
        """
        is_new = time.monotonic() < self._last.since_s + _NOT_AGAIN_WITHIN_S
        if self._last.text != refused or is_new:
            return self._last.text
        return self._answers.renewed(deadline_s).text

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """See redis-py; doesn't wait, as a connection has called ``wait`` before."""
        password = self._last.text
        return (self._user, password) if self._user else (password,)

    def secrets(self) -> list[str]:
        """Return the passwords that no message may show."""
        return [self._last.text, self._before]

    def _ask(self) -> _Password:
        try:
            text = self._read()
        except AuthenticationError:
            raise
        except Exception as error:  # noqa: BLE001 - a caller's function; its text may hold secrets
            raise AuthenticationError(
                f"the function that returns the password raised {type(error).__name__}"
            ) from None
        if not isinstance(text, str):
            raise AuthenticationError(
                f"the function that returns the password returned {type(text).__name__}, not a text"
            )
        self._before, self._last = self._last.text, _Password(text, time.monotonic())
        return self._last
