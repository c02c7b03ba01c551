import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvtransfer.errors import ConfigError
from kvtransfer.weights import fingerprint

CONFIG = {"hidden_size": 64, "rope_theta": 1e5}
SIZE = 3 << 20


def model(folder, config=CONFIG, **files):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (folder / f"{name}.safetensors").write_bytes(content)
    return folder


@pytest.fixture
def weights():
    return os.urandom(SIZE)


def test_copies_elsewhere_and_through_links_agree(tmp_path, weights):
    here, there = (model(tmp_path / name, a=weights, b=b"b") for name in ("here", "there"))
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in here.iterdir():
        (linked / path.name).symlink_to(path)
    assert fingerprint(here) == fingerprint(there) == fingerprint(linked)
    assert len(fingerprint(here)) == 32


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.integers(0, SIZE - 1), length=st.integers(16 << 10, 64 << 10), mask=st.integers(1, 255)
)
def test_a_changed_stretch_differs(tmp_path_factory, start, length, mask):
    content = bytearray(SIZE)
    before = fingerprint(model(tmp_path_factory.mktemp("w") / "m", a=content))
    start = min(start, SIZE - length)
    content[start : start + length] = bytes([mask]) * length
    assert fingerprint(model(tmp_path_factory.mktemp("w") / "m", a=content)) != before


def test_names_sizes_and_the_division_into_files_count(tmp_path):
    contents = [{"a": b"12"}, {"b": b"12"}, {"a": b"123"}, {"a": b"1", "b": b"2"}, {}]
    prints = {fingerprint(model(tmp_path / str(i), **files)) for i, files in enumerate(contents)}
    assert len(prints) == len(contents)


def test_the_configuration_counts_but_not_where_it_came_from(tmp_path):
    plain = fingerprint(model(tmp_path / "1"))
    named = {**CONFIG, "_name_or_path": "/x", "transformers_version": "5"}
    assert fingerprint(model(tmp_path / "2", dict(reversed(named.items())))) == plain
    assert fingerprint(model(tmp_path / "3", {**CONFIG, "rope_theta": 1e4})) != plain


def test_weights_in_subfolders_count(tmp_path):
    folder = model(tmp_path / "m")
    before = fingerprint(folder)
    model(folder / "deep", a=b"1")
    assert fingerprint(folder) != before


@pytest.mark.parametrize("content", [None, "{", "readme"])
def test_a_folder_without_a_model_is_refused_by_name(tmp_path, content):
    if content is not None:
        (tmp_path / ("config.json" if content == "{" else "README.md")).write_text(content)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        fingerprint(tmp_path)
