from __future__ import annotations

from types import SimpleNamespace

import pytest

from kvtransfer.connector.vllm.keys.weights_files import weights_in_files
from kvtransfer.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def config(model, *, load_format="auto", commit=None, streamed="", draft=None, elsewhere=None):
    return SimpleNamespace(
        load_config=SimpleNamespace(load_format=load_format),
        model_config=SimpleNamespace(
            model=str(model),
            model_weights=streamed,
            hf_config_path=elsewhere,
            hf_config=SimpleNamespace(_commit_hash=commit),
        ),
        speculative_config=draft and SimpleNamespace(draft_model_config=draft.model_config),
    )


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 300)
    (made / "empty").touch()
    return made


def test_the_content_counts_and_not_the_place(folder):
    there = weights_in_files(config(folder))
    moved = folder.rename(folder.with_name("moved"))
    assert weights_in_files(config(moved)) == there


def test_a_changed_bit_counts(folder):
    before = weights_in_files(config(folder))
    weights = folder / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[70_000] ^= 1
    weights.write_bytes(changed)
    assert weights_in_files(config(folder)) != before


def test_which_file_holds_it_counts(folder):
    before = weights_in_files(config(folder))
    (folder / "empty").rename(folder / "other")
    assert weights_in_files(config(folder)) != before


def test_a_single_file_is_a_model_too(folder):
    (told,) = weights_in_files(config(folder / "model.safetensors"))
    assert told.startswith("files ")


def test_a_model_of_the_hub_goes_by_its_commit(tmp_path):
    snapshot = tmp_path / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    told = weights_in_files(config("org/name", commit=COMMIT))
    assert told == weights_in_files(config(snapshot)) == [f"hub org/name {COMMIT}"]


def test_a_draft_with_weights_of_its_own_counts(folder, tmp_path):
    draft = tmp_path / "draft"
    draft.mkdir()
    alone = weights_in_files(config(folder))
    assert weights_in_files(config(folder, draft=config(folder))) == alone
    assert weights_in_files(config(folder, draft=config(draft))) == [*alone, *_told(draft)]


def _told(folder):
    return weights_in_files(config(folder))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"load_format": "dummy"}, "load_format=dummy reads no files"),
        ({"streamed": "s3://bucket"}, "streamed from s3://bucket"),
        ({}, "nothing tells which commit of org/name"),
        ({"commit": COMMIT, "elsewhere": "org/config"}, "nothing tells which commit of org/name"),
    ],
)
def test_what_can_not_be_told_is_refused(changes, says):
    with pytest.raises(ConfigError, match=f"{says}.*set weights_name"):
        weights_in_files(config("org/name", **changes))
