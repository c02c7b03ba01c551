"""Makes the obstore client of a bucket; it connects when it is first used."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from kvtransfer.client_programs.objects.causes import cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Client: TypeAlias = S3Store | GCSStore | AzureStore

_CLASSES: dict[str, type[Any]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
_RETRIES = 2


def open_client(settings: Mapping[str, Any]) -> Client:
    """Make a client of the bucket that ``settings`` name; see :class:`kvtransfer.stores.objects.url.ObjectUrl`.

    No single request takes over ``timeout_s``. What the settings leave out, credentials above all,
    comes from the environment or the machine.

    Raises:
        OSError: that isn't enough to make a client, or contradicts itself.
    """
    timeout = timedelta(seconds=settings["timeout_s"])
    try:
        client: Client = _CLASSES[settings["scheme"]](
            settings["bucket"],
            prefix=settings["prefix"] or None,
            config=_config(settings),
            client_options={
                "timeout": timeout,
                "connect_timeout": timeout / 2,  # where one address is silent, another may answer
                **({"allow_http": True} if settings["endpoint"].startswith("http://") else {}),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timeout,
                "backoff": {"init_backoff": timeout / 40, "max_backoff": timeout / 4, "base": 2},
            },
        )
    except (BaseError, ValueError) as error:
        raise OSError(f"no client can be made: {cause_of(error)}") from None
    return client


def _config(settings: Mapping[str, Any]) -> dict[str, object]:
    endpoint = settings["endpoint"]
    if settings["scheme"] == "gs":
        return {"base_url": endpoint} if endpoint else {}
    if settings["scheme"] == "az":
        given = {"account_name": settings["account"], "endpoint": endpoint}
    else:
        given = {"region": settings["region"], "endpoint": _s3_endpoint(settings)}
    config: dict[str, object] = {name: value for name, value in given.items() if value}
    if settings["scheme"] == "s3":
        config["virtual_hosted_style_request"] = not settings["path_style"]
        # Seals verify payloads, so a second hash of each is time that is spent for nothing.
        config["unsigned_payload"] = True
        config["disable_bulk_delete"] = True  # we delete one at a time, and not all servers know it
    return config


def _s3_endpoint(settings: Mapping[str, Any]) -> str:
    """Return the endpoint as obstore wants it: with the bucket, where that is part of the host."""
    endpoint: str = settings["endpoint"]
    if not endpoint or settings["path_style"]:
        return endpoint
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{settings['bucket']}.{parts.netloc}{parts.path}"
