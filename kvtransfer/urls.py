"""Store URLs as they may be shown."""

from __future__ import annotations

import re

_SECRET_OPTION = re.compile(r"([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)
_USERINFO = re.compile(r"((?:://|^(?!.*://))[^:@/]*):.*@", re.DOTALL)


def masked(url: str) -> str:
    """``url`` with every password as ``***``, for logs, messages and labels.

    Hides rather too much than too little: a password may itself hold ``/``, ``?`` or ``@``, so
    all up to the last ``@`` counts as its part.
    """
    return _USERINFO.sub(r"\1:***@", _SECRET_OPTION.sub(r"\1***", url))
