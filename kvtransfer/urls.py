"""Hides passwords in store URLs."""

from __future__ import annotations

import re

_SECRET_OPTION = re.compile(
    r"([?&](?:[^=&]*(?:password|secret|token|credential)[^=&]*|[^=&]*_key|sig)=)[^&]*",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"((?:://|^(?!.*://))[^:@/]*):.*@", re.DOTALL)


def masked(url: str) -> str:
    """``url`` with every password replaced by ``***``, for logs, messages and labels.

    A password may itself contain ``/``, ``?`` or ``@``, so everything up to the last ``@`` counts
    as part of it. That may hide more than the password.
    """
    return _USERINFO.sub(r"\1:***@", _SECRET_OPTION.sub(r"\1***", url))
