"""What is where in an encoded chunk, and how long it is."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.kernels.quantised_layout import QuantisedLayout

SIZES = {"bits": 8, "planes": 6, "planes_a_layer": 2, "tokens": 256, "heads": 3, "dim": 64}
SIZES |= {"element_bytes": 2}


@st.composite
def layouts(draw):
    planes_a_layer = draw(st.sampled_from([1, 2]))
    dim = 2 * draw(st.integers(1, 300))
    return QuantisedLayout(
        draw(st.sampled_from([8, 5, 4])),
        planes_a_layer * draw(st.integers(1, 5)),
        planes_a_layer,
        64 * draw(st.integers(1, 5)),
        draw(st.integers(1, 9)),
        dim,
        draw(st.sampled_from([2, 4])),
        draw(st.integers(0, 63)),
        2 * draw(st.integers(0, dim // 2 - 1)),
    )


def parts_of(layout):
    return [part for kind in layout.kinds for part in vars(kind).values()]


@given(layout=layouts())
def test_parts_follow_one_another_and_are_aligned(layout):
    parts = parts_of(layout)
    assert parts[0].offset == 0
    assert all(part.offset % 16 == 0 for part in parts)
    for part, following in pairwise(parts):
        assert 0 <= following.offset - (part.offset + part.nbytes) < 16
    assert 0 <= layout.layer_bytes - (parts[-1].offset + parts[-1].nbytes) < 16
    assert layout.nbytes == layout.layers * layout.layer_bytes


@given(layout=layouts())
def test_every_number_has_a_code_or_is_kept(layout):
    coded = layout.tokens * layout.heads * layout.coded_dims
    for number, kind in enumerate(layout.kinds):
        bits = kind.words.nbytes * 8 + kind.fifth_bits.nbytes * 8
        assert bits == coded * layout.bits
        group = 64 if layout.is_by_channel(number) else layout.group_dims
        assert kind.minimum.nbytes == kind.step.nbytes == 2 * coded // group
        assert coded + kind.exact_dims.nbytes // layout.element_bytes == (
            layout.tokens * layout.heads * layout.dim
        )
    assert layout.coded_dims % layout.group_dims == 0
    assert layout.group_dims <= 64


@pytest.mark.parametrize(
    ("bits", "exact_tokens", "ratio"), [(8, 0, 1.85), (5, 0, 2.9), (4, 1, 3.5)]
)
@pytest.mark.parametrize("dim", [64, 128])
def test_a_chunk_is_as_many_times_smaller_as_promised(bits, exact_tokens, ratio, dim):
    layout = QuantisedLayout(bits, 64, 2, 256, 8, dim, 2, exact_tokens)
    assert 64 * 256 * 8 * dim * 2 / layout.nbytes >= ratio


@pytest.mark.parametrize(
    ("dim", "exact_dims", "group_dims"),
    [(64, 0, 64), (128, 0, 64), (80, 0, 40), (96, 0, 48), (192, 0, 64), (576, 64, 64), (2, 0, 2)],
)
def test_a_group_is_the_most_elements_that_divide_a_head(dim, exact_dims, group_dims):
    layout = QuantisedLayout(**{**SIZES, "dim": dim}, exact_dims=exact_dims)
    assert layout.group_dims == group_dims


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 6}, "bits=6 must be 8, 5 or 4"),
        ({"element_bytes": 1}, "element_bytes=1 must be 2 .*keep other caches as they are"),
        ({"planes": 5}, "planes_a_layer=2 doesn't fit 5 planes"),
        ({"planes": 0}, "doesn't fit 0 planes"),
        ({"planes_a_layer": 3}, "planes_a_layer=3"),
        ({"tokens": 100}, "tokens=100 is no multiple of 64"),
        ({"tokens": 0}, "tokens=0"),
        ({"heads": 0}, "heads=0"),
        ({"dim": 7}, "dim=7 must be even"),
        ({"exact_dims": 64}, r"exact_dims=64 must be even and in \[0, 64\)"),
        ({"exact_dims": 3}, "exact_dims=3"),
        ({"exact_tokens": 64}, r"exact_tokens=64 is not in \[0, 64\)"),
        ({"exact_tokens": -1}, "exact_tokens=-1"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_its_value(change, message):
    with pytest.raises(ValueError, match=message):
        QuantisedLayout(**{**SIZES, **change})


def test_the_side_that_decides_can_ask_for_a_length_without_torch():
    code = (
        "import runpy, sys; sys.modules.update(torch=None, triton=None, numpy=None);"
        "print(runpy.run_path('kernels/quantised_layout.py')['GROUP_TOKENS'])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "64"
