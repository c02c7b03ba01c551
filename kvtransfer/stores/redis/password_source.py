"""Makes the source of a password that the settings name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from kvtransfer.stores.redis.credentials import PasswordFile
from kvtransfer.stores.redis.password_command import printed
from kvtransfer.stores.redis.renewed_password import RenewedPassword

if TYPE_CHECKING:
    from kvtransfer.stores.settings import StoreSettings


def password_source(user: str | None, settings: StoreSettings) -> PasswordFile | RenewedPassword:
    """Return where the password of ``user`` comes from; ``settings`` name one source."""
    if settings.password_file is not None:
        return PasswordFile(user, settings.password_file)
    command = settings.password_command
    assert command is not None
    read = command if callable(command) else partial(printed, command)
    return RenewedPassword(user, read, settings.password_max_age_s)
