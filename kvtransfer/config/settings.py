"""Every setting: its meaning, its limits, and one sentence for what can't be."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from kvtransfer.config.old_names import current_policy, warn_of_old_names
from kvtransfer.config.sourced import Value
from kvtransfer.config.sources import config_file, environment, translated, unknown, yaml_file
from kvtransfer.errors import ConfigError
from kvtransfer.policies import POLICIES
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pydantic_core import ErrorDetails

_LOG = logging.getLogger("kvtransfer")
_ALIASES = {"resp://": "redis://", "valkey://": "redis://", "valkeys://": "rediss://"}
"""Schemes that LMCache and Valkey have for the same servers."""
_SCHEMES = (
    "redis://", "rediss://", "unix://", "redis-sentinel://", "rediss-sentinel://",
    "redis-cluster://", "rediss-cluster://", "embedded://", "disk://", "memory://",
)  # fmt: skip


def _one_or_two_paths(value: object) -> tuple[str, ...]:
    """A text, which ``os.pathsep`` may divide as it does in ``PATH``, or a list of texts."""
    paths = value.split(os.pathsep) if isinstance(value, str) else value
    if isinstance(paths, list | tuple) and 1 <= len(paths) <= 2:
        texts = tuple(path for path in paths if isinstance(path, str) and path)
        if len(texts) == len(paths):
            return texts
    raise PydanticCustomError("paths", "one path, or two")


Count = Annotated[int, Field(ge=1)]
# Unquoted, a name of digits reads as a number.
Name = Annotated[str, BeforeValidator(lambda name: str(name) if type(name) is int else name)]
KeyFiles = Annotated[tuple[str, ...], BeforeValidator(_one_or_two_paths)]
Gibibytes = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class TransferConfig(BaseModel):
    """Frozen and valid; made by ``load`` or ``of``, whose errors are one sentence."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, protected_namespaces=(), hide_input_in_errors=True
    )

    chunk_size: Count = 256
    """Tokens of a chunk; a multiple of the engine's block size."""
    local_cpu: bool = True
    """Keep chunks in host memory; otherwise it is only a way station."""
    max_local_cpu_size: Gibibytes = 5.0
    """Host memory, in GiB, of each worker."""
    local_storage: str | None = None
    """Folder of the disk tier; all engines of a machine may share it."""
    max_local_storage_size: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """GiB that the folder may hold, whoever wrote them."""
    remote_url: str | None = None
    """Store shared by all engines."""
    remote_password_file: Annotated[str, Field(min_length=1)] | None = None
    """File of the password that the URL doesn't have; read for each connection."""
    integrity_key_file: KeyFiles | None = None
    """Secret that authenticates what stores hold; a second one only verifies."""
    encryption_key_file: KeyFiles | None = None
    """Secret that encrypts what stores hold; a second one only decrypts."""
    remote_serde: str = "naive"
    """How payloads are written."""
    ttl_s: Count | None = None
    """Seconds that an entry lives after it was last put; None: until the store evicts it."""
    refresh_ttl: bool = False
    """A hit, too, gives an entry another ``ttl_s``."""
    remote_timeout_ms: Count = 2000
    """Longest wait for one answer of the store."""
    remote_connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Chunks fetched at once; from a Redis more than 10 ms away, sixteen at least."""
    lookup_timeout_ms: Count = 500
    """A request doesn't wait longer to learn what the store holds."""
    load_timeout_ms: Count = 10_000
    """A fetch that has not begun after this is given up."""
    load_margin: Annotated[float, Field(gt=0)] = 1.1
    """A load may be expected to take so many times as long as computing its tokens."""
    write_policy: str = "write_through"
    """When stores get a chunk: when it is saved, or as it leaves host memory."""
    admit_chance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """What leaves is written back only if it returns with such a learned chance."""
    max_pending_puts: Count = 64
    """Chunks that wait to be written to the store; one more drops the oldest."""
    save_decode: bool = True
    """Cache generated tokens too, not only prompts."""
    trust_media_uuids: bool = False
    """Callers' names for images and the like tell their content: the data are not hashed."""
    eviction_policy: str = "learned"
    """What leaves host memory first."""
    model_name: Annotated[Name, Field(min_length=1)] | None = None
    """In place of the model's own name in the store's keys."""
    namespace: Name = ""
    """Deployments that differ in it share nothing."""

    @classmethod
    def load(
        cls,
        extra: Mapping[str, object] | None = None,
        environ: Mapping[str, str] = os.environ,
        tell: Callable[[int, str], object] = _LOG.log,
    ) -> TransferConfig:
        """From defaults, a YAML file, the environment and ``extra``; later ones win.

        The environment's texts are read as what they set (``1`` is true, or one, or a name);
        elsewhere a value must have the setting's own type. ``tell`` is given a level of
        the log and a sentence about each setting that is left out.

        Raises:
            ConfigError: a source can't be read, or a setting is unknown or can't be.
        """
        last = {str(name): Value(value, str(name)) for name, value in (extra or {}).items()}
        path = config_file(environ, last.pop("lmcache_config_file", None))
        values = yaml_file(path, cls.model_fields, tell) if path else {}
        last = translated(last, cls.model_fields, tell)
        texts = environment(environ, cls.model_fields, tell)
        warn_of_old_names(values | texts | last, tell)
        values |= cls._typed({name: text for name, text in texts.items() if name not in last})
        return cls._checked(values | last, cls.model_validate)

    @classmethod
    def of(cls, **settings: object) -> TransferConfig:
        """From ``settings`` alone.

        Raises:
            ConfigError: a setting is unknown or can't be.
        """
        values = {name: Value(value, name) for name, value in settings.items()}
        warn_of_old_names(values, _LOG.log)
        return cls._checked(values, cls.model_validate)

    @property
    def has_stores(self) -> bool:
        """Whether there is a tier beyond host memory."""
        return self.local_storage is not None or self.remote_url is not None

    @field_validator("remote_url")
    @classmethod
    def _knows_scheme(cls, url: str | None) -> str | None:
        if url is None:
            return None
        scheme, _, rest = url.partition("://")
        url = _ALIASES.get(f"{scheme}://", f"{scheme}://") + rest if rest else url
        if not url.startswith(_SCHEMES):
            raise ValueError(
                "write redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket, "
                "redis-sentinel://host:26379/service, redis-cluster://host:6379, embedded://, "
                "disk:///path or memory://"
            )
        _check_hosts(url)
        return url

    @field_validator("local_storage")
    @classmethod
    def _names_a_folder(cls, path: str | None) -> str | None:
        return None if path is None else path.removeprefix("file://")  # as LMCache writes it

    @field_validator("remote_serde", mode="before")
    @classmethod
    def _is_naive_by_default(cls, name: object) -> object:
        return "naive" if name is None else name  # as LMCache writes it

    @field_validator("remote_serde")
    @classmethod
    def _knows_serde(cls, name: str) -> str:
        if name != "naive":
            raise ValueError("only 'naive' is known")
        return name

    @field_validator("write_policy")
    @classmethod
    def _knows_write_policy(cls, name: str) -> str:
        if name not in ("write_through", "write_back"):
            raise ValueError("write write_through or write_back")
        return name

    @field_validator("eviction_policy")
    @classmethod
    def _knows_policy(cls, name: str) -> str:
        policy = current_policy(name)
        if policy not in POLICIES:
            raise ValueError(f"known are {', '.join(POLICIES)}")
        return policy

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        # What repr, str and rich's printers and tracebacks all show.
        for name, value in super().__repr_args__():
            yield name, masked(value) if name == "remote_url" and value else value

    def __str__(self) -> str:
        return repr(self)

    @classmethod
    def _typed(cls, texts: Mapping[str, Value]) -> dict[str, Value]:
        """What the environment's texts stand for, each read by its setting's type."""
        written = {name: text for name, text in texts.items() if text.value is not None}
        read = cls._checked(written, cls.model_validate_strings)
        typed = {name: Value(getattr(read, name), text.source) for name, text in written.items()}
        return {**texts, **typed}

    @classmethod
    def _checked(
        cls, values: Mapping[str, Value], validate: Callable[[object], TransferConfig]
    ) -> TransferConfig:
        for name, value in values.items():
            if name not in cls.model_fields:
                raise ConfigError(unknown(value.source, name, cls.model_fields))
        try:
            return validate({name: value.value for name, value in values.items()})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = str(first["loc"][0])
            raise ConfigError(_sentence(values[name], name, first)) from None


def _check_hosts(url: str) -> None:
    """Refuse what is written for LMCache, and would be malformed here."""
    scheme, _, rest = url.partition("://")
    hosts, _, service = rest.rpartition("@")[2].partition("/")
    if scheme.endswith("-sentinel") and not service.partition("?")[0]:
        raise PydanticCustomError(
            "url",
            "{scheme}://host:26379/mymaster, with the name of the master at its end",
            {"scheme": scheme},
        )
    if scheme in ("redis", "rediss") and "," in hosts:
        raise PydanticCustomError(
            "url",
            "of one host; write {scheme}-cluster://host1:6379,host2:6379 for a cluster",
            {"scheme": scheme},
        )


_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "finite_number": "a finite number",
    "string_too_short": "a text that isn't empty",
}


def _sentence(value: Value, name: str, error: ErrorDetails) -> str:
    shown = _shown(value.value)
    said = f"{value.source}={shown}" if value.source == name else f"{value.source} ({shown})"
    kind, context = error["type"], error.get("ctx", {})
    bounds = {"greater_than_equal": "at least {ge}", "greater_than": "more than {gt}"}
    if kind in bounds:
        wanted = bounds[kind].format(**context)
    elif kind == "less_than_equal":
        wanted = f"at most {context['le']}"
    elif kind == "value_error":
        return f"{said}: {name} is not known; {context['error']}"
    else:
        wanted = _WANTED.get(kind, error["msg"])
    return f"{said}: {name} must be {wanted}"


def _shown(value: object) -> str:
    """A refused value; none of what stands before its last ``@``, which may be a password.

    More than :func:`masked` hides: what was refused need not look like a URL.
    """
    text = masked(value if isinstance(value, str) else repr(value))
    before, at, after = text.rpartition("@")
    scheme, colon, _ = before.rpartition("://")
    hidden = f"{scheme}{colon}***@{after}" if at else text
    return repr(hidden) if isinstance(value, str) else hidden
