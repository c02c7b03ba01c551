"""Imports NIXL, quietly, or says what is missing."""

from __future__ import annotations

import logging
import os
from functools import cache
from importlib import import_module
from typing import Any

from kvtransfer.errors import ConfigError


def nixl_api() -> Any:  # noqa: ANN401 - NIXL has no types
    """Import NIXL's Python API.

    It logs to the standard output, where only its warnings are let through unless
    ``NIXL_LOG_LEVEL`` says otherwise.

    Raises:
        ConfigError: NIXL isn't installed, or not for the CUDA that is here.
    """
    try:
        api = import_module("nixl._api")
    except ImportError as error:
        raise ConfigError(
            f"nixl:// needs the nixl library: pip install '.[nixl]' ({error})"
        ) from None
    if "NIXL_LOG_LEVEL" not in os.environ:
        logging.getLogger("nixl").setLevel(logging.WARNING)
    return api


@cache
def nixl_errors() -> tuple[type[Exception], ...]:
    """Return all exceptions that NIXL raises; they have no base class of their own."""
    kinds = vars(import_module("nixl._bindings")).values()
    return tuple(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Exception))
