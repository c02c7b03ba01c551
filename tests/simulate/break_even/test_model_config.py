"""What is read of a config.json, and the sentence about one that can't be read."""

from __future__ import annotations

import json

import pytest

from kvtransfer.errors import ConfigError
from kvtransfer.simulate.break_even.model_config import KNOWN, read_config
from tests.simulate.break_even.configs import LLAMA, config


def written(folder, fields):
    path = folder / "config.json"
    path.write_text(fields if isinstance(fields, str) else json.dumps(fields))
    return path


def test_a_folder_is_its_config(tmp_path):
    path = written(tmp_path, LLAMA)
    assert read_config(tmp_path).name == read_config(path).name == str(path)
    assert read_config(path).count("num_hidden_layers") == 32


def test_the_text_layers_of_a_model_for_images_count(tmp_path):
    outer = {"model_type": "mistral3", "dtype": "bfloat16", "hidden_size": 7}
    inner = {"model_type": "mistral", "dtype": None, "hidden_size": 5120}
    read = read_config(written(tmp_path, {**outer, "text_config": inner}))
    assert read.model_type == "mistral"
    assert read.count("hidden_size") == 5120
    assert read.get("dtype") == "bfloat16"  # null says nothing


def test_what_published_files_leave_out_is_known(tmp_path):
    read = read_config(written(tmp_path, {"model_type": "gemma3_text", "head_dim": 128}))
    assert read.count("sliding_window_pattern") == 6
    assert read.count("head_dim") == 128


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("{", "config.json: this is not JSON; name a model's config.json"),
        ("[" * 100_000, "config.json: this is not JSON"),
        ("[1]", r"config.json: \[1\] is no object"),
        ("{}", "simulate doesn't know the model_type None; known are cohere2, deepseek_v2"),
        ({"model_type": "whisper"}, "the model_type 'whisper'; .*; give --token-bytes if all its"),
        ({"model_type": ["llama"]}, r"the model_type \['llama'\]"),
    ],
    ids=["cut", "deep", "list", "empty", "unknown", "odd"],
)
def test_a_file_that_is_not_understood(tmp_path, fields, said):
    with pytest.raises(ConfigError, match=said):
        read_config(written(tmp_path, fields))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere: No such file or directory"):
        read_config(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="this is not JSON"):
        read_config(tmp_path / "bytes")


@pytest.mark.parametrize("value", [0, -1, True, "8", 2.5, [8], 2**50])
def test_a_count_is_a_whole_number_above_0(value):
    with pytest.raises(ConfigError, match=r"config.json has .* as num_hidden_layers; a whole num"):
        config(num_hidden_layers=value).count("num_hidden_layers")
    with pytest.raises(ConfigError, match="has nothing as missing or absent"):
        config().count("missing", "absent")


def test_parts_and_series_are_checked():
    odd = config(part=[], series=[1, "2"], empty=[])
    with pytest.raises(ConfigError, match=r"has \[\] as part; an object is needed"):
        odd.part("part")
    with pytest.raises(ConfigError, match=r"has \[1, '2'\] as series; a list of str is needed"):
        odd.series("series", str)
    with pytest.raises(ConfigError, match="a list of str is needed"):
        odd.series("empty", str)
    with pytest.raises(ConfigError, match=r"config.json, inner, has nothing as size"):
        config(inner={}).part("inner").count("size")


def test_known_types_have_no_cache_that_is_refused():
    assert not {"whisper", "deepseek_v4"} & set(KNOWN)
