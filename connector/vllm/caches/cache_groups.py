"""Reads the cache groups of a model from vLLM's configuration: what each keeps of a chunk.

A kind of cache that isn't in ``_REACHES`` is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING, Any

from kvtransfer.chunks.layout import ChunkFormat
from kvtransfer.chunks.reach import Everything, LocalChunks, State, Window
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.pages.page_format import page_format
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vllm.v1.kv_cache_interface import KVCacheConfig, KVCacheGroupSpec

    from kvtransfer.chunks.reach import Reach


@dataclass(frozen=True)
class Section:
    """Describes layers of one group whose pages are alike."""

    layer_names: tuple[str, ...]
    chunk: ChunkFormat
    """The format of their part of one shard."""

    @property
    def composition(self) -> list[object]:
        """What a key says of them, as plain JSON."""
        chunk = self.chunk
        facts: list[object] = [chunk.layout, chunk.dtype, list(chunk.shape), list(self.layer_names)]
        return [*facts, chunk.quantised.label] if chunk.quantised else facts


@dataclass(frozen=True)
class GroupFacts:
    """Describes one cache group of a model."""

    number: int
    """vLLM's number of the group."""
    kind: str
    """vLLM's name of its kind of cache, such as ``SlidingWindowSpec``."""
    tiling: Tiling
    sections: tuple[Section, ...]
    """Its layers on this rank, by the kind of their pages; a pipeline stage may have none."""
    shards: int = 1
    """How many shards this rank holds: each has a part of the heads of every layer."""

    @property
    def chunk(self) -> ChunkFormat:
        """The format of its pieces on one rank."""
        if not self.sections:
            return ChunkFormat.content("uint8", 0, self.tiling.chunk_tokens, 1, 1)
        if len(self.sections) == self.shards == 1:
            return self.sections[0].chunk
        return ChunkFormat.sectioned([section.chunk for section in self.sections], self.shards)

    @property
    def composition(self) -> list[object]:
        """What a key says of the group, as plain JSON."""
        return [
            self.kind,
            repr(self.tiling.reach),
            self.tiling.block_tokens,
            [section.composition for section in self.sections],
        ]


def cache_groups(kv_cache_config: KVCacheConfig, chunk_size: int) -> tuple[GroupFacts, ...]:
    """Return the groups whose caches are kept: those that read all tokens first.

    Of each kind they are in vLLM's order. Groups that vLLM itself rebuilds behind a cached prefix
    are left out.

    Args:
        kv_cache_config: vLLM's.
        chunk_size: how many tokens a chunk should have; several groups may need more.

    Raises:
        ConfigError: there is none, or one has a kind of cache that is not supported.
    """
    numbers = kv_cache_config.prefix_cacheable_group_ids
    groups = [(number, kv_cache_config.kv_cache_groups[number]) for number in numbers]
    if not groups:
        raise ConfigError(
            "vLLM reuses no cache of this model, by its own judgement; run it without the connector"
        )
    reaches = [_reach_of(group) for _, group in groups]
    chunk_tokens = _chunk_tokens(
        [group.kv_cache_spec.block_size for _, group in groups], reaches, chunk_size
    )
    found = (
        _facts(number, group, Tiling(chunk_tokens, group.kv_cache_spec.block_size, reach))
        for (number, group), reach in zip(groups, reaches, strict=True)
    )
    # The first group's pieces have the chunks' own keys, which are made once a request.
    return tuple(sorted(found, key=lambda group: not group.tiling.reads_all))


def are_mixed(kv_cache_config: KVCacheConfig) -> bool:
    """Whether a group's layers have several specifications, of which the scheduler sees only one.

    vLLM gives the layers of each specification a ``KVCacheTensor`` of their own.
    """
    layers = [frozenset(tensor.layers) for tensor in kv_cache_config.kv_cache_tensors]
    return any(
        sum(not each.isdisjoint(group.layer_names) for each in layers) > 1
        for group in kv_cache_config.kv_cache_groups
    )


def _chunk_tokens(block_tokens: list[int], reaches: list[Reach], chunk_size: int) -> int:
    """Return the tokens of a chunk, which fit the blocks of every group.

    vLLM ends a prompt's step at its last whole block, and only there is a state to be saved: a
    chunk of several blocks would hardly ever end at one.
    """
    unit = lcm(*block_tokens)
    has_states = any(isinstance(reach, State) for reach in reaches)
    if len(block_tokens) == 1 and not has_states:
        return chunk_size  # config_check.refuse_block_size has the say
    return unit if has_states else -(-chunk_size // unit) * unit


def _facts(number: int, group: KVCacheGroupSpec, tiling: Tiling) -> GroupFacts:
    specs = _layer_specs(group)
    alike: dict[ChunkFormat, list[str]] = {}
    for name, spec in specs.items():
        alike.setdefault(_format(spec, 1, tiling), []).append(name)
    sections = tuple(
        Section(tuple(names), _format(specs[names[0]], len(names), tiling))
        for names in alike.values()
    )
    return GroupFacts(number, type(group.kv_cache_spec).__name__, tiling, sections)


def _format(spec: Any, layers: int, tiling: Tiling) -> ChunkFormat:
    """Return what ``layers`` of the same kind keep of a chunk."""
    if isinstance(tiling.reach, State):
        return ChunkFormat.content("int8", layers, 1, 1, spec.state_content_size_bytes)
    if spec.tokens_per_state != 1:
        raise ConfigError(
            f"a cache with {spec.tokens_per_state} tokens in one state is not supported; run this "
            "model without the connector"
        )
    return page_format(spec, layers, tiling.piece_blocks * tiling.block_tokens)


def _reach_of(group: KVCacheGroupSpec) -> Reach:
    """Return how far back the layers of ``group`` read; all of them read alike."""
    specs = _all_specs(group).values()
    kinds = sorted({type(spec).__name__ for spec in specs})
    unknown = [kind for kind in kinds if kind not in _REACHES]
    if unknown:
        raise ConfigError(
            f"a model with {' and '.join(unknown)}{_example(group)} is not supported; run it "
            "without the connector"
        )
    reaches = {_REACHES[type(spec).__name__](spec) for spec in specs}
    if len(reaches) > 1:
        raise ConfigError(
            f"layers in one cache group{_example(group)} that read differently far back, "
            f"{sorted(map(repr, reaches))}, are not supported; run it without the connector"
        )
    return reaches.pop()


def _example(group: KVCacheGroupSpec) -> str:
    return "".join(f", such as of {name}," for name in group.layer_names[:1])


def _layer_specs(group: KVCacheGroupSpec) -> dict[str, Any]:
    """Return vLLM's specification of each layer's cache on this rank, by the layer's name."""
    by_layer = _all_specs(group)
    return {name: by_layer[name] for name in group.layer_names}


def _all_specs(group: KVCacheGroupSpec) -> dict[str, Any]:
    """Return the specifications of all layers, one at least: a pipeline stage may have no layer."""
    spec = group.kv_cache_spec
    one_kind = dict.fromkeys(group.layer_names or [""], spec)
    found: dict[str, Any] = getattr(spec, "kv_cache_specs", one_kind)
    return found


def _window(spec: Any) -> Window:
    return Window(spec.sliding_window, spec.extra_retained_tokens)


def _state(spec: Any) -> State:
    if spec.mamba_cache_mode != "align":
        raise ConfigError(
            f"states with mamba_cache_mode={spec.mamba_cache_mode!r} are not supported; leave "
            "--enable-prefix-caching on, with which vLLM keeps them at the ends of blocks"
        )
    return State()


_REACHES: dict[str, Callable[[Any], Reach]] = {
    "FullAttentionSpec": lambda spec: Everything(),
    "MLAAttentionSpec": lambda spec: Everything(),
    "SlidingWindowSpec": _window,
    "SlidingWindowMLASpec": _window,
    "ChunkedLocalAttentionSpec": lambda spec: LocalChunks(spec.attention_chunk_size),
    "MambaSpec": _state,
}
"""How far back each of vLLM's kinds of cache is read, by the name of its specification."""
