"""What the codecs are compared with, and that they are measured as they are used."""

from __future__ import annotations

import pytest
import torch

from benchmarks.bench_codec import coded
from benchmarks.kv_of_model import Prediction
from benchmarks.rival_codecs import fp8_cast, lmcache_cachegen
from kvtransfer.chunks.quantisation import CODECS

LEAST = {"int8": 1.85, "int5": 2.9, "int4": 3.5, "cachegen": 3.3}


@pytest.fixture(scope="module")
def planes():
    torch.manual_seed(0)
    return [torch.randn(512, 2, 64, dtype=torch.bfloat16) for _ in range(32)]


def error(planes, others):
    return float(
        (torch.stack(list(planes)) - torch.stack(list(others))).float().pow(2).mean().sqrt()
    )


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_coded_by_its_own_kernels(planes, codec):
    decoded, ratio = coded(planes, codec)
    assert ratio >= LEAST[codec]
    assert 0 < error(planes, decoded) < 3 / 2 ** CODECS[codec]


def test_rivals_are_as_coarse_as_they_say(planes):
    fp8, cachegen = fp8_cast(planes), lmcache_cachegen(planes)
    assert fp8.bits == 8
    assert 3 < cachegen.bits < 6.5
    assert error(planes, coded(planes, "int4")[0]) < error(planes, cachegen.planes)
    assert error(planes, coded(planes, "int8")[0]) < error(planes, fp8.planes)


def test_a_prediction_differs_from_itself_by_nothing():
    torch.manual_seed(1)
    one, other = (Prediction(torch.log_softmax(torch.randn(5, 9), -1)) for _ in range(2))
    assert (one.kl_from(one), one.agreement_with(one)) == (0, 1)
    assert one.kl_from(other) > 0
