"""Reads what a request's caller may ask of kvtransfer, for any engine. Pure."""

from __future__ import annotations

from reprlib import repr as cut
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kvtransfer.errors import ConfigError
from kvtransfer.requests.control import Control

if TYPE_CHECKING:
    from typing import Self

NAME = "kvtransfer"
"""Under which callers write it in ``kv_transfer_params``, and read what has come of it."""
_MOST_PRIORITY = 1_000_000
_MOST_TTL_S = 1_000_000_000


class Asked(BaseModel):
    """What a request may say in ``kv_transfer_params["kvtransfer"]``."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    load: bool = True
    """Whether its tokens may be loaded."""
    save: bool = True
    """Whether what it computes may be saved."""
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    """How many tokens may be loaded at most."""
    priority: Annotated[int, Field(ge=-_MOST_PRIORITY, le=_MOST_PRIORITY)] = 0
    """Chunks by which its fetches go later; negative: sooner."""
    ttl_s: Annotated[int, Field(ge=1, le=_MOST_TTL_S)] | None = None
    """How long what it saves may live in stores; the setting ``ttl_s``, if shorter, holds."""
    blend: bool | None = None
    """Whether to reuse passages; None: as the setting ``blend`` says."""
    first: Annotated[int, Field(ge=0)] | None = None
    """Tokens at the begin of each passage that are computed anew."""
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    """The same as a part of each passage."""
    segments: list[list[int]] | None = None
    """The passages of the prompt, if they are known."""

    prefilled_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens that another engine has just computed, as a router hands on."""

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        if self.first is not None and self.share is not None:
            raise ValueError("pass first or share, not both")
        if self.ttl_s is not None and not self.save:
            raise ValueError("nothing is saved, so pass ttl_s or save: false, not both")
        if self.blend and not (self.load and self.max_tokens is None):
            raise ValueError("passages are loaded, so pass blend without load and max_tokens")
        return self

    @property
    def may_blend(self) -> bool:
        """Whether it leaves open what passages bring."""
        return self.load and self.max_tokens is None

    @property
    def control(self) -> Control:
        """What is asked beside passages."""
        return Control(self.load, self.save, self.max_tokens, self.priority, self.ttl_s)


def asked_of(params: object) -> Asked:
    """Read ``params``, which a caller has written under our name.

    Raises:
        ConfigError: a name is unknown or a value wrong; the sentence names it, and what to write.
    """
    try:
        return Asked.model_validate(params)
    except ValidationError as error:
        raise ConfigError(_sentence(params, error)) from None


def _sentence(params: object, error: ValidationError) -> str:
    said = f"kv_transfer_params[{NAME!r}]"
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        cause = first.get("ctx", {}).get("error")
        return f"{said}: {cause or f'write a mapping of names to values, not {cut(params)}'}"
    name = cut(first["loc"][0])
    if first["type"] == "extra_forbidden":
        return f"{said}: there is no {name}; known are {', '.join(Asked.model_fields)}"
    where = "".join(f"[{cut(part)}]" for part in first["loc"])
    return f"{said}{where} is {cut(first['input'])}: {first['msg']}"
