"""Makes chunk keys from token ids by a chain of hashes, so that equal keys mean equal bytes.

``h_0 = SHA-256(namespace)`` and ``h_i = SHA-256(h_{i-1} || token ids of chunk i || extras of
chunk i)``; a key is the first 128 bits of ``h_i`` as 32 hex digits. Nothing here depends on the
process: no salted ``hash()``, no dictionary order, no address.

A model with several cache groups has a piece of each chunk in each group. The key of the first
group's piece is the chunk's; a ``-`` and the group's number follow in the keys of the others.

Inside a process a ``.`` and the tenant follow the key of a tenant's chunk, so that code which
passes keys on also says whose chunks they are. Stores get the two separately.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from reprlib import repr as cut
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FORMAT_VERSION = 2
"""We raise this whenever the meaning of a key or of a chunk's bytes changes."""

KEY_HEX_DIGITS = 32
_PLAIN = "".join(map(chr, range(0x21, 0x7F))).translate(str.maketrans("", "", "%@{}"))


def namespace(facts: Mapping[str, object]) -> bytes:
    """Render ``facts`` as canonical JSON, the start of the key chain of all that share them.

    Args:
        facts: everything but the tokens that shapes a chunk's bytes, by name: the weights, the
            quantisation, rope settings, adapters, the format of chunks.

    Raises:
        ConfigError: a fact is not plain JSON; its ``repr`` could differ between processes.
    """
    named = {"kvtransfer": FORMAT_VERSION, **facts}
    try:
        return _json(named)
    except (TypeError, ValueError, RecursionError):
        wrong = ", ".join(f"facts[{name!r}]={cut(named[name])}" for name in _not_json(named))
        raise ConfigError(
            f"{wrong or 'facts'}: not plain JSON; write texts, finite numbers, true, false and "
            "lists and mappings of them, which every process renders alike"
        ) from None


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _not_json(named: Mapping[str, object]) -> list[str]:
    """The names of the facts that JSON can't render."""
    wrong = []
    for name, fact in named.items():
        try:
            _json({name: fact})
        except (TypeError, ValueError, RecursionError):
            wrong.append(name)
    return wrong


def tenant_of_salt(salt: str | None) -> str:
    """Return the tenant whose requests have this ``cache_salt``; empty if there is no salt.

    It is a digest, since the salt may be a secret, and vLLM's crash reports show plans.
    """
    return hashlib.sha256(b"tenant " + salt.encode()).hexdigest()[:KEY_HEX_DIGITS] if salt else ""


def tenant_of(key: str) -> str:
    """Return the tenant whose chunk ``key`` names; empty if it is no tenant's."""
    return key.partition(".")[2]


def piece_key(key: str, group: int) -> str:
    """Return the key of what cache group number ``group`` keeps of the chunk ``key``."""
    if group == 0:
        return key
    return f"{key[:KEY_HEX_DIGITS]}-{group}{key[KEY_HEX_DIGITS:]}"


def piece_keys(keys: Sequence[str], group: int) -> Sequence[str]:
    """Return the keys of what cache group number ``group`` keeps of the chunks ``keys``."""
    return [piece_key(key, group) for key in keys] if group else keys


def group_of(key: str) -> int:
    """Return the number of the cache group whose piece ``key`` names, in a process or in a store."""
    ending = key.rpartition("@")[2].partition(".")[0][KEY_HEX_DIGITS:]
    return int(ending[1:]) if ending else 0


def chunk_hash_of(base_key: str) -> str:
    """Return the key, without its tenant, of the chunk or piece that ``base_key`` names a shard of."""
    return base_key.rpartition("@")[2]


def chunk_keys(
    token_ids: Sequence[int],
    chunk_tokens: int,
    *,
    namespace: bytes,
    extras: Sequence[bytes] = (),
) -> list[str]:
    """Make one key for each whole chunk of ``token_ids``; a partial tail has none.

    Args:
        token_ids: the tokens of a sequence from its first on, integers in ``[0, 2**31)``.
        chunk_tokens: tokens in a chunk.
        namespace: what :func:`namespace` returned.
        extras: ``extras[i]`` is whatever beside its token ids decides the bytes of chunk ``i``,
            such as the digest of an image; chunks past the end of ``extras`` have none.

    Returns:
        Keys of 32 hex digits, in the order of the chunks. Each depends on all tokens before it.

    Raises:
        ValueError: an id is negative or needs more than 31 bits.
    """
    return KeyChain(chunk_tokens, namespace=namespace, extras=extras).extend(token_ids)


class KeyChain:
    """The keys of a sequence that grows.

    Arguments are those of :func:`chunk_keys`; each key ends with ``tenant`` if it is not empty.
    """

    def __init__(
        self,
        chunk_tokens: int,
        *,
        namespace: bytes,
        extras: Sequence[bytes] = (),
        tenant: str = "",
    ) -> None:
        self.namespace = namespace
        """What the keys cover besides the tokens; two of the same share keys."""
        self.has_extras = any(extras)
        """Whether chunks of the same tokens may have different keys."""
        self._chunk_tokens = chunk_tokens
        self._tenant = tenant
        self._ending = f".{tenant}" if tenant else ""
        self._extras = extras
        self._parent = hashlib.sha256(namespace).digest()
        self._keys: list[str] = []

    def sibling(self) -> KeyChain:
        """A chain without keys, for another sequence that shares chunks with this one's."""
        return KeyChain(self._chunk_tokens, namespace=self.namespace, tenant=self._tenant)

    def extend(self, token_ids: Sequence[int]) -> list[str]:
        """The keys of all whole chunks of ``token_ids``, the whole sequence as it is by now."""
        if len(token_ids) - len(self._keys) * self._chunk_tokens >= self._chunk_tokens:
            self.advance(token_ids, len(token_ids))
        return self._keys

    def advance(self, token_ids: Sequence[int], most_tokens: int) -> list[str] | None:
        """Hash at most ``most_tokens`` more, but at least one chunk.

        Returns:
            The keys of all whole chunks; None while some are still to be hashed.
        """
        begin = len(self._keys) * self._chunk_tokens
        left = (len(token_ids) - begin) // self._chunk_tokens
        count = min(left, max(1, most_tokens // self._chunk_tokens))
        if count > 0:
            hashed = little_endian(token_ids[begin : begin + count * self._chunk_tokens])
            chunk_bytes = 4 * self._chunk_tokens
            for start in range(0, len(hashed), chunk_bytes):
                self._append(hashed[start : start + chunk_bytes])
        return self._keys if count == left else None

    def _append(self, token_bytes: bytes) -> None:
        digest = hashlib.sha256(self._parent + token_bytes)
        if len(self._keys) < len(self._extras):
            digest.update(self._extras[len(self._keys)])
        self._parent = digest.digest()
        self._keys.append(self._parent.hex()[:KEY_HEX_DIGITS] + self._ending)


def little_endian(token_ids: Sequence[int]) -> bytes:
    """Pack token ids as they are hashed: 4 bytes each.

    Raises:
        ValueError: an id is negative or needs more than 31 bits.
    """
    try:
        packed = struct.pack(f"<{len(token_ids)}I", *token_ids)  # several times as fast as NumPy
        fits = packed[3::4].isascii()  # the highest bit of each is 0
    except struct.error:
        fits = False
    if not fits:
        low, high = min(token_ids), max(token_ids)
        raise ValueError(f"token ids must lie in [0, 2**31), got {low} .. {high}")
    return packed


@dataclass(frozen=True)
class BaseKey:
    """The parts of a base key: which worker's shard of which chunk of which model."""

    model_name: str
    world_size: int
    worker_id: int
    chunk_hash: str


def base_key(model_name: str, world_size: int, worker_id: int, chunk_hash: str) -> str:
    """The key of an entry in a store: ``{model_name}@{world_size}@{worker_id}@{chunk_hash}``.

    ``%``, ``@``, braces, blanks and non-ASCII in the model's name are percent-escaped: an ``@``
    would shift the fields, and braces would send a whole model to one slot of a Redis Cluster.
    """
    return f"{quote(model_name, safe=_PLAIN)}@{world_size}@{worker_id}@{chunk_hash}"


def parse_base_key(key: str) -> BaseKey:
    """Take ``key`` apart; the inverse of :func:`base_key`."""
    model_name, world_size, worker_id, chunk_hash = key.split("@")
    return BaseKey(unquote(model_name), int(world_size), int(worker_id), chunk_hash)


@dataclass(frozen=True)
class EntryKeys:
    """Makes the base keys under which a store holds a model's chunks, one entry a shard."""

    model_name: str
    world_size: int
    """How many shards a chunk has."""
    holders: tuple[tuple[int, ...], ...] = ()
    """The shards that a piece of each cache group has; empty: all pieces have all shards."""

    def shard(self, worker_id: int, key: str) -> str:
        """The base key of shard number ``worker_id`` of the chunk or piece ``key``."""
        return base_key(self.model_name, self.world_size, worker_id, key.partition(".")[0])

    def held(self, worker_ids: Sequence[int], key: str) -> list[str]:
        """The base keys of the shards ``worker_ids`` of ``key``."""
        return [self.shard(worker_id, key) for worker_id in worker_ids]

    def shards(self, key: str) -> list[str]:
        """The base keys of all shards of ``key``; it is there when all of them are."""
        held = self.holders[group_of(key)] if self.holders else range(self.world_size)
        return self.held(held, key)
