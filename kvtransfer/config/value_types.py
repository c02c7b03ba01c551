"""Defines the types of settings' values that are more than a number, a text or a flag."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError


def _one_or_two_paths(value: object) -> tuple[str, ...]:
    """The paths in a string that ``os.pathsep`` divides, as in ``PATH``, or in a list of strings."""
    paths = value.split(os.pathsep) if isinstance(value, str) else value
    if isinstance(paths, list | tuple) and 1 <= len(paths) <= 2:
        texts = tuple(path for path in paths if isinstance(path, str) and path)
        if len(texts) == len(paths):
            return texts
    raise PydanticCustomError("paths", "one path, or two")


def _program_and_arguments(value: object) -> object:
    """The words of a text, as a POSIX shell divides it, or of a list; or a function, as it is."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError:  # a quote is not closed
        words = ()
    if callable(words):
        return words
    if isinstance(words, list | tuple) and words and all(isinstance(word, str) for word in words):
        return tuple(words)
    raise PydanticCustomError("command", "a program and its arguments")


Count = Annotated[int, Field(ge=1)]
# YAML reads an unquoted name of digits as a number.
Name = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
KeyFiles = Annotated[tuple[str, ...], BeforeValidator(_one_or_two_paths)]
PasswordCommand = Annotated[
    tuple[str, ...] | Callable[[], str], BeforeValidator(_program_and_arguments)
]
Gibibytes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
