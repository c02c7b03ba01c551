"""Defines every setting, with its default, meaning and limits."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from kvtransfer.config.old_names import current_policy, warn_of_old_names
from kvtransfer.config.refusals import refusal
from kvtransfer.config.serdes import SERDES
from kvtransfer.config.sourced import Value
from kvtransfer.config.sources import config_file, environment, translated, unknown, yaml_file
from kvtransfer.config.store_url import store_url
from kvtransfer.config.value_types import Count, Gibibytes, KeyFiles, Name, PasswordCommand
from kvtransfer.errors import ConfigError
from kvtransfer.policies import POLICIES
from kvtransfer.urls import masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_LOG = logging.getLogger("kvtransfer")
_CHOICES: Mapping[str, Iterable[str]] = {
    "remote_serde": SERDES,
    "blend": ("opt_in", "all", "off"),
    "kv_events": ("off", "vllm-router", "dynamo", "llm-d"),
}
"""What a setting may be, for those that are one of few words."""


def _shown(name: str | None, value: object) -> object:
    """``value`` without what may be a secret: passwords in a URL, arguments of a command."""
    if name in ("remote_url", "remote_read_url"):
        return masked(str(value))
    return value[0] if name == "remote_password_command" and isinstance(value, tuple) else value


class TransferConfig(BaseModel):
    """Holds all settings, valid and immutable; make one with ``load`` or ``of``."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, protected_namespaces=(), hide_input_in_errors=True
    )

    chunk_size: Count = 256
    """Tokens in a chunk, the unit of caching. It must be a multiple of vLLM's block size; with several cache
    groups it is rounded up to one, and with recurrent layers a chunk is one block."""
    local_cpu: bool = True
    """Keep chunks in host memory. If false, they only pass through it."""
    max_local_cpu_size: Gibibytes = 5.0
    """GiB of host memory for each worker. More than the machine or its container can give is refused at
    start."""
    eviction_policy: str = "learned"
    """What leaves host memory first: ``learned`` learns what is reused, and follows ``lru`` or ``arc`` while
    those serve more; ``lru``, the default for models with windows or states; or ``arc``."""
    local_storage: str | None = None
    """Folder on a local disk that holds chunks too. It must be empty at first. All engines of a machine may
    share it."""
    max_local_storage_size: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """GiB that the folder may hold, over all engines that share it. Required with ``local_storage``."""
    remote_url: str | None = None
    """URL of the store that all engines share, such as ``redis://HOST:6379/0``."""
    remote_read_url: str | None = None
    """URL of a replica of that Redis nearby: chunks are looked up and read there, and put in
    ``remote_url``."""
    remote_password_file: Annotated[str, Field(min_length=1)] | None = None
    """File with the store's password, so that the URL needs none. It is read for each new connection."""
    remote_password_command: PasswordCommand | None = None
    """Program that prints the store's password or a token, with its arguments: a list, or a text that is
    split as a shell would; in Python also a function that returns it. What it prints is kept until it is
    old, or until the store refuses it."""
    remote_password_max_age_s: Count = 600
    """Seconds after which that program is run again."""
    integrity_key_file: KeyFiles | None = None
    """File with the secret that authenticates entries of disk and store. During rotation two files: the
    second one only verifies."""
    encryption_key_file: KeyFiles | None = None
    """File with the secret that encrypts entries of disk and store, with a key of its own for each
    ``cache_salt``. During rotation two files: the second one only decrypts."""
    remote_serde: str = "naive"
    """How chunks are held: ``naive`` (as they are); in the remote store ``lossless`` (compressed, bit for
    bit the same) or ``auto`` (whichever of the two takes less time); or approximate numbers in host
    memory and stores: ``int8``, ``int5``, ``int4`` or ``cachegen`` (``int5`` in a model's first
    layers, ``int4`` in the others)."""
    ttl_s: Count | None = None
    """Seconds that an entry lives after it was last put. Unset: until the store evicts it."""
    refresh_ttl: bool = False
    """A hit, too, gives an entry another ``ttl_s``."""
    remote_timeout_ms: Count = 2000
    """Longest wait for one answer of the store, in ms."""
    remote_connections: Annotated[int, Field(ge=1, le=64)] = 4
    """Most chunks fetched at once; at least 16 from a Redis more than 10 ms away, and fewer where more
    would only wait."""
    lookup_timeout_ms: Count = 500
    """Longest wait of a request for a store lookup, in ms."""
    load_timeout_ms: Count = 10_000
    """Longest wait for a fetch to begin, in ms. One that has not begun by then is given up, and its tokens
    are computed."""
    load_margin: Annotated[float, Field(gt=0)] = 1.1
    """A load may take this many times as long as computing its tokens, by prediction; a slower one is
    refused."""
    write_policy: str = "write_through"
    """When disk and store get a chunk: ``write_through`` when it is saved, ``write_back`` as it leaves host
    memory. With ``write_back``, chunks in host memory are lost when vLLM ends."""
    admit_chance: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With ``write_back``: write only chunks whose learned reuse probability is at least this. 0.05 halves
    the writes where host memory holds a fifth of all chunks."""
    max_pending_puts: Count = 64
    """Most chunks that may wait to be written; one more drops the oldest."""
    save_decode: bool = True
    """Cache generated tokens too, not only prompts."""
    kv_events: str = "off"
    """Add what host memory and stores hold to vLLM's KV events, as a router credits it:
    ``vllm-router``, ``dynamo``, ``llm-d`` or ``off``."""
    kv_events_pool: Annotated[Name, Field(min_length=1)] = "kvtransfer"
    """Name of the remote store in these events; all engines that share it say the same."""
    blend: str = "opt_in"
    """Reuse passages anywhere in a prompt, approximately: ``opt_in`` (requests that ask), ``all`` or
    ``off``."""
    blend_step_tokens: Count = 2048
    """Tokens between reused passages that one step computes at most, beside its own."""
    model_name: Annotated[Name, Field(min_length=1)] | None = None
    """First part of the keys in the store. Unset: vLLM's name of the model."""
    weights_name: Annotated[Name, Field(min_length=1)] | None = None
    """Your word for which weights are loaded: engines that say the same share chunks, whatever their kernels
    or tensor-parallel size, which round differently. Unset: a fingerprint of all weights decides."""
    tensor_parallel_shards: Count | None = None
    """Largest tensor-parallel size of the engines that share a store, in all of them; needs
    ``weights_name``. Unset: an engine shares with those of its own size."""
    trust_media_uuids: bool = False
    """Take ``multi_modal_uuids`` as the content of images, videos and sounds, instead of hashing their data.
    Safe only if no caller can give two of them one name."""
    namespace: Name = ""
    """Deployments with different namespaces share no chunks."""
    quotas_file: Annotated[str, Field(min_length=1)] | None = None
    """File that says how much each ``cache_salt`` may hold in host memory and in the remote store, and has
    tenants share host memory fairly."""
    trace_file: Annotated[str, Field(min_length=1)] | None = None
    """File to which each request is recorded for ``kvtransfer simulate``: its number of tokens, and hashes
    that can't be compared with prompts; no text."""

    @classmethod
    def load(
        cls,
        extra: Mapping[str, object] | None = None,
        environ: Mapping[str, str] = os.environ,
        tell: Callable[[int, str], object] = _LOG.log,
    ) -> TransferConfig:
        """Read the settings from a YAML file, the environment and ``extra``; later ones win.

        Args:
            extra: values of the settings' own types.
            environ: variables, whose texts are read by the type of the setting: ``1`` may be
                true, a number or a name.
            tell: is called with a log level and a sentence for each setting that is ignored or
                has an old name.

        Raises:
            ConfigError: a source can't be read, or a setting is unknown or has an invalid value.
        """
        return cls._checked(cls._sourced(extra or {}, environ, tell), cls.model_validate)

    @classmethod
    def origins(
        cls, extra: Mapping[str, object] | None = None, environ: Mapping[str, str] = os.environ
    ) -> dict[str, str]:
        """Say where ``load`` finds each setting that has no default value.

        Raises:
            ConfigError: as for ``load``.
        """
        values = cls._sourced(extra or {}, environ, lambda *_: None)
        return {name: value.source for name, value in values.items()}

    @classmethod
    def of(cls, **settings: object) -> TransferConfig:
        """Take ``settings`` alone, with defaults for the others.

        Raises:
            ConfigError: a setting is unknown or has an invalid value.
        """
        values = {name: Value(value, name) for name, value in settings.items()}
        warn_of_old_names(values, _LOG.log)
        return cls._checked(values, cls.model_validate)

    @property
    def has_stores(self) -> bool:
        """Whether there is a tier beyond host memory."""
        return self.local_storage is not None or self.remote_url is not None

    @field_validator("remote_url", "remote_read_url")
    @classmethod
    def _knows_scheme(cls, url: str | None) -> str | None:
        return None if url is None else store_url(url)

    @field_validator("local_storage")
    @classmethod
    def _names_a_folder(cls, path: str | None) -> str | None:
        return None if path is None else path.removeprefix("file://")  # as LMCache writes it

    @field_validator("remote_serde", mode="before")
    @classmethod
    def _is_naive_by_default(cls, name: object) -> object:
        return "naive" if name is None else name  # as LMCache writes it

    @field_validator(*_CHOICES)
    @classmethod
    def _is_known(cls, name: str, info: ValidationInfo) -> str:
        known = _CHOICES[str(info.field_name)]
        if name not in known:
            raise ValueError(f"known are {', '.join(known)}")
        return name

    @field_validator("write_policy")
    @classmethod
    def _knows_write_policy(cls, name: str) -> str:
        if name not in ("write_through", "write_back"):
            raise ValueError("write write_through or write_back")
        return name

    @field_validator("kv_events", mode="before")
    @classmethod
    def _is_off(cls, name: object) -> object:
        return "off" if name is False else name  # as YAML reads it

    @field_validator("eviction_policy")
    @classmethod
    def _knows_policy(cls, name: str) -> str:
        policy = current_policy(name)
        if policy not in POLICIES:
            raise ValueError(f"known are {', '.join(POLICIES)}")
        return policy

    def shown(self, name: str) -> object:
        """Return the value of the setting ``name`` without what may be a secret."""
        value = getattr(self, name)
        return _shown(name, value) if value else value

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        # repr, str, and rich's printers and tracebacks all use this.
        for name, _ in super().__repr_args__():
            yield name, None if name is None else self.shown(name)

    def __str__(self) -> str:
        return repr(self)

    @classmethod
    def _sourced(
        cls,
        extra: Mapping[str, object],
        environ: Mapping[str, str],
        tell: Callable[[int, str], object],
    ) -> dict[str, Value]:
        """The settings of all sources; later sources win."""
        last = {str(name): Value(value, str(name)) for name, value in extra.items()}
        path = config_file(environ, last.pop("lmcache_config_file", None))
        values = yaml_file(path, cls.model_fields, tell) if path else {}
        last = translated(last, cls.model_fields, tell)
        texts = environment(environ, cls.model_fields, tell)
        warn_of_old_names(values | texts | last, tell)
        values |= cls._typed({name: text for name, text in texts.items() if name not in last})
        return values | last

    @classmethod
    def _typed(cls, texts: Mapping[str, Value]) -> dict[str, Value]:
        """The values that the environment's ``texts`` stand for, by the types of their settings."""
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
            raise ConfigError(refusal(values[name], name, first)) from None
