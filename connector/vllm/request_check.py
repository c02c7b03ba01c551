"""Refuses requests that ask of us what can't be read, where vLLM's front end checks them.

The connector sees a request in the engine, where an error could only end the engine. The front end
answers vLLM's own error of ``SamplingParams.verify`` with HTTP 400; any other is a fault to it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import wraps
from typing import Any

from kvtransfer.connector.asked import NAME, asked_of
from kvtransfer.errors import ConfigError

_CHECKS = "_kvtransfer_checks"


def check_requests() -> None:
    """Have the requests that this process takes in checked; may be called again."""
    module = sys.modules.get("vllm.sampling_params")
    verify = getattr(getattr(module, "SamplingParams", None), "verify", None)
    if module is None or verify is None or hasattr(verify, _CHECKS):
        return

    @wraps(verify)
    def verify_and_check(params: Any, *args: Any, **kwargs: Any) -> Any:
        verified = verify(params, *args, **kwargs)
        try:
            refuse(params.extra_args)
        except ConfigError as error:
            from vllm.exceptions import VLLMValidationError

            raise VLLMValidationError(str(error)) from None
        return verified

    setattr(verify_and_check, _CHECKS, True)
    module.SamplingParams.verify = verify_and_check


def refuse(extra_args: Mapping[str, Any] | None) -> None:
    """Refuse what a request asks of us, if that can't be read.

    Raises:
        ConfigError: a name is unknown or a value wrong.
    """
    params = (extra_args or {}).get("kv_transfer_params")
    if isinstance(params, Mapping) and params.get(NAME) is not None:
        asked_of(params[NAME])
