"""Which form chunks are given, and what is counted and learned of it."""

from __future__ import annotations

import numpy as np
import pytest

from kvtransfer.metrics import Metrics
from kvtransfer.stores.codecs import open_forms
from tests.stores.lossless.floats import BF16, FP8, chunk_of

CHUNK = memoryview(chunk_of(BF16))
SLOW, FAST = 1e6, 1e15  # bytes a second: no processor is near either


@pytest.fixture
def metrics():
    return Metrics()


def opened(serde, metrics=None):
    return open_forms(serde, BF16, metrics)


def put(forms, rate=SLOW, chunk=CHUNK, form=BF16):
    """Put one chunk over a line of ``rate`` bytes a second; return its stored form."""
    with forms.encoded(chunk, form) as stored:
        forms.note_put(stored, len(chunk), len(stored.payload) / rate)
        return stored.format, bytes(stored.payload)


def formats(forms, count, rate):
    return [put(forms, rate)[0] for _ in range(count)]


@pytest.mark.parametrize(("rate", "expected"), [(SLOW, "lossless"), (FAST, "naive")])
def test_auto_goes_by_the_line_after_two_trials(rate, expected):
    assert formats(opened("auto"), 5, rate) == ["lossless"] * 2 + [expected] * 3


def test_auto_learns_from_fetches_too():
    forms = opened("auto")
    assert formats(forms, 3, SLOW) == ["lossless"] * 3
    for _ in range(3):
        forms.note_fetched(BF16.nbytes, BF16.nbytes / FAST)
    assert formats(forms, 1, SLOW) == ["naive"]  # a fetch would take longer


def test_auto_changes_with_the_line_and_back():
    forms = opened("auto")
    formats(forms, 40, FAST)
    assert formats(forms, 40, SLOW)[-1] == "lossless"
    assert formats(forms, 200, FAST)[-1] == "naive"


def test_auto_leaves_what_does_not_become_shorter():
    noise = memoryview(np.random.default_rng(0).bytes(BF16.nbytes))
    forms = opened("auto")
    assert {put(forms, SLOW, noise)[0] for _ in range(5)} == {"naive"}


def test_auto_tries_nothing_on_a_piece_that_does_not_suit(metrics):
    forms = opened("auto", metrics)
    assert put(forms, SLOW, memoryview(chunk_of(FP8)), FP8)[0] == "naive"
    assert metrics.take() == {"put_uncompressed_chunks": 1}
    assert formats(forms, 2, FAST) == ["lossless"] * 2  # the trials are still to come


def test_naive_and_lossless_go_by_no_line():
    assert formats(opened("naive"), 3, SLOW) == ["naive"] * 3
    assert formats(opened("lossless"), 3, FAST) == ["lossless"] * 3


def test_a_chunk_that_does_not_become_shorter_is_stored_as_it_is(metrics):
    noise = np.random.default_rng(0).bytes(BF16.nbytes)
    assert put(opened("lossless", metrics), SLOW, memoryview(noise)) == ("naive", noise)
    assert metrics.take().keys() == {"put_uncompressed_chunks", "encode_seconds"}


def test_what_is_counted(metrics):
    forms = opened("lossless", metrics)
    for _ in range(2):
        _, payload = put(forms)
    counted = metrics.take()
    assert counted.pop("encode_seconds") > 0
    assert counted == {
        "put_compressed_chunks": 2,
        "compressed_from_bytes": 2 * BF16.nbytes,
        "compressed_to_bytes": 2 * len(payload),
    }
    slot = memoryview(bytearray(payload.ljust(BF16.nbytes, b"\0")))
    assert forms.decode(forms.reader("lossless"), slot, len(payload), BF16)
    assert slot == CHUNK
    assert metrics.take()["decode_seconds"] > 0
    assert forms.decode(forms.reader("naive"), slot, BF16.nbytes, BF16)
    assert metrics.take() == {}
