"""Makes the obstore client of a bucket; it connects when it is first used."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from kvtransfer.errors import ConfigError
from kvtransfer.stores.objects.causes import cause_of

if TYPE_CHECKING:
    from kvtransfer.stores.objects.url import ObjectUrl

Client: TypeAlias = S3Store | GCSStore | AzureStore

_CLASSES: dict[str, type[Any]] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
_RETRIES = 2


def open_client(url: ObjectUrl, timeout_s: float) -> Client:
    """Make a client of the bucket at ``url``, of which no single request takes over ``timeout_s``.

    What the URL leaves out, credentials above all, comes from the environment or the machine.

    Raises:
        ConfigError: that isn't enough to make a client, or contradicts itself.
    """
    timeout = timedelta(seconds=timeout_s)
    try:
        client: Client = _CLASSES[url.scheme](
            url.bucket,
            prefix=url.prefix or None,
            config=_config(url),
            client_options={
                "timeout": timeout,
                "connect_timeout": timeout / 2,  # where one address is silent, another may answer
                **({"allow_http": True} if url.endpoint.startswith("http://") else {}),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timeout,
                "backoff": {"init_backoff": timeout / 40, "max_backoff": timeout / 4, "base": 2},
            },
        )
    except (BaseError, ValueError) as error:
        raise ConfigError(f"{url.shown}: no client can be made: {cause_of(error)}") from None
    return client


def _config(url: ObjectUrl) -> dict[str, object]:
    if url.scheme == "gs":
        return {"base_url": url.endpoint} if url.endpoint else {}
    if url.scheme == "az":
        given = {"account_name": url.account, "endpoint": url.endpoint}
    else:
        given = {"region": url.region, "endpoint": _s3_endpoint(url)}
    config: dict[str, object] = {name: value for name, value in given.items() if value}
    if url.scheme == "s3":
        config["virtual_hosted_style_request"] = not url.path_style
        # Seals verify payloads, so a second hash of each is time that is spent for nothing.
        config["unsigned_payload"] = True
        config["disable_bulk_delete"] = True  # we delete one at a time, and not all servers know it
    return config


def _s3_endpoint(url: ObjectUrl) -> str:
    """Return the endpoint as obstore wants it: with the bucket, where that is part of the host."""
    if not url.endpoint or url.path_style:
        return url.endpoint
    parts = urlsplit(url.endpoint)
    return f"{parts.scheme}://{url.bucket}.{parts.netloc}{parts.path}"
