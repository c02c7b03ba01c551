"""Copies between pieces and recorded pages, in memory that vLLM's own code lays out.

Triton's interpreter runs the kernel; the definition in torch is what it is compared with.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.families import FAMILIES
from benchmarks.recorded_groups import cache_config, recorded
from kvtransfer.chunks.paged import PagedCaches
from kvtransfer.chunks.piece_view import piece_views
from kvtransfer.connector.vllm.caches import model_facts
from kvtransfer.connector.vllm.caches.cache_groups import cache_groups
from kvtransfer.connector.vllm.caches.model_facts import ModelFacts, paged_caches
from kvtransfer.connector.vllm.caches.ranks import Ranks
from kvtransfer.kernels import paged_copy, reference
from tests.connector.vllm.caches.recorded_tensors import views, with_tensors
from tests.kernels.copies import INTERPRETED, interpreted_copy

pytestmark = pytest.mark.vllm

BLOCK_IDS = (5, 1, 6)
LAYERS = 2
CASES = [
    ("DeepSeek V3.2", "LBNHC"),
    ("DeepSeek V3.2", "BLNHC"),  # blocks of all layers interleave
    ("GLM-5", "BLNHC"),
    ("MiniMax M3", "LBNHC"),
    ("MiniMax M3", "LBHNC"),
    ("MiniMax M3", "BLHNC"),
    ("Kimi Linear", "LBNHC"),  # states, with padding behind each
    ("Kimi Linear", "BLNHC"),
    ("Qwen 3.5", "LBNHC"),
    ("Gemma 4", "LBNHC"),  # blocks of two sizes
    ("Gemma 4", "BLHNC"),
    ("gpt-oss", "LBNHC"),
]


class Recorded:
    """Caches of a family, a few layers of each kind, as a GPU's."""

    def __init__(self, name, layout):
        (family,) = (family for family in FAMILIES if family.name == name)
        config = with_tensors(cache_config(recorded(family), layers=LAYERS), layout)
        self.memory, tensors = views(config)
        self.facts = ModelFacts(name, Ranks(1), cache_groups(config, 256))
        self.groups = paged_caches(self.facts, tensors)

    def parts(self):
        """The planes of each section of each group, with where its part of a piece lies."""
        for group, sections in zip(self.facts.cache_groups, self.groups, strict=True):
            piece = torch.randint(0, 256, (1, group.chunk.nbytes), dtype=torch.uint8)
            for paged, view in zip(sections, piece_views(group.chunk, piece), strict=True):
                ids = BLOCK_IDS[: group.tiling.piece_blocks]
                yield paged.planes, paged.kernel_blocks(ids), view[0]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def caches(request, monkeypatch):
    torch.manual_seed(0)
    # On a GPU nothing packs pages as the attention for CPUs does.
    monkeypatch.setattr(model_facts, "cpu_caches", PagedCaches.split)
    monkeypatch.setattr(paged_copy, "copy_blocks", INTERPRETED)
    return Recorded(*request.param)


def test_gather(caches):
    for planes, block_ids, part in caches.parts():
        expected = part.clone()
        reference.gather_blocks(planes, block_ids, expected)
        interpreted_copy(planes).gather_blocks(block_ids, part)
        assert torch.equal(_bytes(part), _bytes(expected))


def test_scatter(caches):
    before = caches.memory.clone()
    for planes, block_ids, part in caches.parts():
        caches.memory.copy_(before)
        reference.scatter_blocks(part, planes, block_ids)
        expected = caches.memory.clone()
        assert not torch.equal(expected, before)
        caches.memory.copy_(before)
        interpreted_copy(planes).scatter_blocks(part, block_ids)
        assert torch.equal(caches.memory, expected)


def _bytes(part):
    return part.contiguous().view(torch.uint8)
