"""What each value of ``remote_serde`` writes, and which caches it refuses."""

from __future__ import annotations

import pytest

from kvtransfer.chunks.layout import GroupFormats
from kvtransfer.config import TransferConfig
from kvtransfer.config.serdes import SERDES
from kvtransfer.errors import ConfigError
from kvtransfer.stores.codecs import CODECS, open_forms
from kvtransfer.stores.open import open_tiers
from tests.stores.lossless.floats import BF16, FLOATS, FP8, FP32, MIXED, STATES, chunk_of


def written(serde, form):
    forms = open_forms(serde, form)
    with forms.encoded(memoryview(chunk_of(form)), form) as stored:
        return stored.format


def test_every_codec_has_its_name_and_every_value_names_codecs():
    assert {make().name for make in CODECS.values()} == CODECS.keys()
    assert {name for serde in SERDES.values() for name in serde.writes} == CODECS.keys()
    assert {serde.name for serde in SERDES.values()} == SERDES.keys()


@pytest.mark.parametrize("form", FLOATS.values())
def test_what_is_written(form):
    assert [written(serde, form) for serde in ("naive", "lossless")] == ["naive", "lossless"]


def test_whoever_writes_reads_all():
    for serde in SERDES:
        assert all(open_forms(serde, BF16).reader(name) for name in CODECS)
        assert open_forms(serde, BF16).reader("cachegen") is None


@pytest.mark.parametrize("form", [FP8, STATES, GroupFormats((FP8, STATES), 0, 64)])
def test_lossless_is_refused_where_nothing_becomes_shorter(form):
    with pytest.raises(ConfigError, match=r"=lossless .*float32.* holds .*8.*naive or auto$"):
        open_forms("lossless", form)
    for serde in ("naive", "auto"):
        open_forms(serde, form)


def test_lossless_serves_where_any_group_has_numbers():
    open_forms("lossless", GroupFormats((FP8, FP32), 0, 64))
    open_forms("lossless", MIXED)


def test_a_piece_without_numbers_is_stored_as_it_is():
    forms = open_forms("lossless", GroupFormats((STATES, BF16), 1, 64))
    with forms.encoded(memoryview(chunk_of(STATES)), STATES) as stored:
        assert (stored.format, stored.payload) == ("naive", chunk_of(STATES))


def test_the_setting_is_of_the_remote_store_alone(tmp_path):
    folder = {"local_storage": str(tmp_path), "max_local_storage_size": 0.001}
    open_tiers(TransferConfig.of(remote_serde="lossless", **folder), FP8).close()
    config = TransferConfig.of(remote_serde="lossless", remote_url="memory://", **folder)
    with pytest.raises(ConfigError, match="remote_serde=lossless"):
        open_tiers(config, FP8)
