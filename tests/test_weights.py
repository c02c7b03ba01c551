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


def safetensors(tensors):
    header, data = {}, b""
    for name, content in tensors.items():
        span = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "U8", "shape": [len(content)], "data_offsets": span}
        data += content
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    return len(text).to_bytes(8, "little") + text + data


# As in a real model: matrices with small norms and biases in between, which an even spread misses.
TENSORS = {
    f"{i}.{name}": bytes(size)
    for i in range(8)
    for name, size in (("matrix", 700_001), ("norm", 1152), ("bias", 64), ("scale", 2))
}


@pytest.mark.parametrize("name", TENSORS)
def test_one_retrained_tensor_differs_however_small(tmp_path, name):
    before = fingerprint(model(tmp_path / "1", a=safetensors(TENSORS)))
    changed = {**TENSORS, name: b"\1" * len(TENSORS[name])}
    assert fingerprint(model(tmp_path / "2", a=safetensors(changed))) != before


def test_a_tensor_of_another_type_or_name_differs(tmp_path):
    content = safetensors({"a": b"12", "b": b"34"})
    variants = [content, content.replace(b'"U8"', b'"I8"', 1), content.replace(b'"b"', b'"c"')]
    prints = {fingerprint(model(tmp_path / str(i), a=x)) for i, x in enumerate(variants)}
    assert len(prints) == len(variants)


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", "of nothing"),
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", "null"),
        ("config.json", b"\xff"),
    ],
)
def test_a_folder_without_a_model_is_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=str(tmp_path)):
        fingerprint(tmp_path)


@given(st.binary(max_size=40) | st.dictionaries(st.text(), st.integers() | st.text()))
def test_a_file_that_only_looks_like_safetensors_counts_too(tmp_path_factory, header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text
    prints = {
        fingerprint(model(tmp_path_factory.mktemp("w") / "m", a=content + tail))
        for tail in (b"1", b"2")
    }
    assert len(prints) == 2
