"""Quantises what cache groups keep, where their numbers can be: ``remote_serde`` says how."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from kvtransfer.chunks.quantisation import CODECS, levels
from kvtransfer.chunks.quantised import quantised, reason_against
from kvtransfer.chunks.reach import State
from kvtransfer.connector.vllm.caches.layer_order import in_order
from kvtransfer.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vllm.config import ModelConfig

    from kvtransfer.chunks.quantisation import Quantisation
    from kvtransfer.connector.vllm.caches.cache_groups import GroupFacts, Section

_LOG = logging.getLogger("kvtransfer")


def quantise(
    groups: Sequence[GroupFacts], codec: str, model: ModelConfig
) -> tuple[GroupFacts, ...]:
    """Return ``groups`` with sections whose numbers ``codec``, a setting's name, quantises.

    Sections that it doesn't fit stay as they are, and the log says which and why. A section whose
    layers have different levels becomes several.

    Raises:
        ConfigError: it fits no section.
    """
    if codec not in CODECS:
        return tuple(groups)
    left = _left(groups, model)
    if left and len(left) == sum(len(group.sections) for group in groups):
        raise ConfigError(
            f"remote_serde={codec} fits no layer of this model, which keeps "
            f"{' and '.join(sorted({why for why, _ in left}))}; set it to naive"
        )
    for why, layer in dict(left).items():
        _LOG.warning("remote_serde=%s leaves %s as they are, such as of %s", codec, why, layer)
    return tuple(replace(group, sections=tuple(_sections(group, codec, model))) for group in groups)


def _sections(group: GroupFacts, codec: str, model: ModelConfig) -> Iterator[Section]:
    for section in group.sections:
        if _reason(group, section, model):
            yield section
        else:
            yield from _by_level(section, levels(codec, len(section.layer_names)), model)


def _by_level(
    section: Section, found: Iterable[tuple[Quantisation, int]], model: ModelConfig
) -> Iterator[Section]:
    names, form = in_order(section.layer_names), section.chunk
    kinds, counts = zip(*found, strict=True)
    spans = pairwise(accumulate(counts, initial=0))
    for quantisation, (first, end) in zip(kinds, spans, strict=True):
        shape = (end - first, *form.shape[1:])
        part = replace(form, shape=shape, nbytes=form.nbytes // form.shape[0] * shape[0])
        kept = quantisation.keeping(_rotated_dims(section, model))
        yield replace(section, layer_names=tuple(names[first:end]), chunk=quantised(part, kept))


def _left(groups: Sequence[GroupFacts], model: ModelConfig) -> list[tuple[str, str]]:
    """Why sections are left as they are, and a layer of each."""
    reasons = [
        (_reason(group, section, model), section.layer_names[0])
        for group in groups
        for section in group.sections
    ]
    return [(reason, layer) for reason, layer in reasons if reason]


def _reason(group: GroupFacts, section: Section, model: ModelConfig) -> str:
    if isinstance(group.tiling.reach, State):
        return "states"
    if section.chunk.layout == "content" and not _is_latent(section, model):
        return "pages with a content of their own"
    return reason_against(section.chunk)


def _is_latent(section: Section, model: ModelConfig) -> bool:
    """Whether these are pages of MLA: a latent and the rotated part of the keys, nothing else."""
    rank = getattr(model.hf_text_config, "kv_lora_rank", None)
    _, heads, dim = section.chunk.plane_shape
    return rank is not None and heads == 1 and dim == rank + _rope_dims(model)


def _rotated_dims(section: Section, model: ModelConfig) -> int:
    return _rope_dims(model) if section.chunk.layout == "content" else 0


def _rope_dims(model: ModelConfig) -> int:
    return int(getattr(model.hf_text_config, "qk_rope_head_dim", None) or 0)
