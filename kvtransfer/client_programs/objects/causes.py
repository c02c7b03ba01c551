"""Explains what obstore raises, in a sentence that holds no secret."""

from __future__ import annotations

import html
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED = (
    "the credentials are wrong or lack a right (reading, writing and deleting objects, and listing "
    "the bucket)"
)
_MEANT = {
    "NoSuchBucket": "there is no such bucket; create it, or mend the URL",
    "InvalidAccessKeyId": "it knows no such access key; mend the credentials in the environment",
    "SignatureDoesNotMatch": "the secret of the access key is wrong; mend the credentials",
    "ExpiredToken": "the credentials have expired; renew them in the environment",
    "AccessDenied": _REFUSED,
    "401": "it takes no such credentials, or was given none",
    "403": _REFUSED,
    "404": "there is no such bucket or object",
    "503": "it is overloaded or unavailable",
    "507": "it is full",
}
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})</Message>")
_STATUS = re.compile(r"status code: ((\d{3}) [A-Za-z -]{1,40})")
_SYSTEM = re.compile(r'message: "([^"]{1,100})"')
_SUMMARY = re.compile(r" - (.{1,200})")
# Credentials, signatures and tokens, which a server may echo, are one long word.
_LONG_WORD = re.compile(r"[\w+/=%-]{40,}")
_METADATA = ("/latest/api/token", "/latest/meta-data/", "/computeMetadata/", "/metadata/identity/")
_UNTRUSTED = "its certificate isn't trusted here; name the file of the authority in SSL_CERT_FILE"
_TIMED_OUT = ("TimedOut", "operation timed out")


class BucketError(Exception):
    """A bucket or its server failed; the text says why, and holds no secret."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise what obstore raises in the body as :class:`BucketError`."""
    try:
        yield
    except (BaseError, OSError, ValueError, NotImplementedError) as error:
        raise BucketError(cause_of(error)) from None


def cause_of(error: Exception) -> str:
    """Say the cause of ``error``, of which the text holds whole requests and replies."""
    text = str(error)
    if any(path in text for path in _METADATA):
        return "no credentials are in the environment, and the machine gives none"
    code, status = _CODE.search(text), _STATUS.search(text)
    if code is not None:
        return f"{code[1]}: {_MEANT.get(code[1]) or _message(text)}"
    if status is not None:
        return f"{status[1].strip()}: {_MEANT.get(status[2], 'no reason was given')}"
    if any(sign in text for sign in _TIMED_OUT):
        return "it didn't answer in time"
    if "invalid peer certificate" in text or "InvalidCertificate" in text:
        return _UNTRUSTED
    found = _SYSTEM.search(text) or _SUMMARY.search(text)
    return _safe(found[1] if found else text.partition("\n")[0][:200])


def is_beyond_the_end(error: Exception) -> bool:
    """Whether a range was asked for that begins where the object has ended."""
    return "status code: 416" in str(error)


def is_not_implemented(error: Exception) -> bool:
    """Whether the server doesn't know what it was asked for."""
    return "status code: 501" in str(error)


def _message(text: str) -> str:
    found = _MESSAGE.search(text)
    return _safe(html.unescape(found[1])) if found else "no reason was given"


def _safe(text: str) -> str:
    return _LONG_WORD.sub("***", text)
