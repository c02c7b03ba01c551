"""``docs/configuration.md`` has each setting, as the code defines it."""

from __future__ import annotations

import json
import re

import yaml

from docs import configuration_page
from kvtransfer.config import TransferConfig
from kvtransfer.config.lmcache_names import in_our_words
from kvtransfer.config.sourced import Value

TEXT = configuration_page.PAGE.read_text(encoding="utf-8")
SETTINGS = re.findall(
    r"^### (\w+)\n\n`(\w+)` · [^\n]* · (not set by default|default `[^`]*`)\n\n([^\n]*)$",
    TEXT,
    re.MULTILINE,
)


def block(language):
    (found,) = re.findall(rf"^    ```{language}\n(.*?)^    ```$", TEXT, re.MULTILINE | re.DOTALL)
    return re.sub(r"^    ", "", found, flags=re.MULTILINE)


def test_the_page_is_what_the_definitions_say():
    assert configuration_page.page() == TEXT, "run `make docs`"


def test_each_setting_is_there_once():
    assert [name for name, *_ in SETTINGS] == list(TransferConfig.model_fields)
    assert all(meaning for *_, meaning in SETTINGS)


def test_each_default_and_variable_is_the_codes():
    for name, variable, shown, _ in SETTINGS:
        default = TransferConfig.model_fields[name].default
        if shown == "not set by default":
            assert default in (None, ""), name
        else:
            text = re.search("`(.*)`", shown)[1]
            read = TransferConfig.load({}, {variable: text})
            assert getattr(read, name) == default, name


def test_the_three_places_are_read_as_the_page_shows(tmp_path):
    path = tmp_path / "kvtransfer.yaml"
    path.write_text(block("yaml"))
    environment = dict(re.findall(r"^export (\w+)=(\S+)$", block("sh"), re.MULTILINE))
    extra = json.loads(block("json"))["kv_connector_extra_config"]
    of_file = TransferConfig.load({}, {"KVTRANSFER_CONFIG_FILE": str(path)})
    assert of_file == TransferConfig.of(**yaml.safe_load(block("yaml")))
    of_environment = TransferConfig.load({}, environment)
    assert of_environment.chunk_size == TransferConfig.load(extra, {}).chunk_size == 512
    assert of_environment.remote_url == environment["KVTRANSFER_REMOTE_URL"]


def test_a_later_place_wins(tmp_path):
    path = tmp_path / "kvtransfer.yaml"
    path.write_text("chunk_size: 64\nttl_s: 10\nmax_pending_puts: 3\n")
    environment = {"KVTRANSFER_CONFIG_FILE": str(path), "KVTRANSFER_CHUNK_SIZE": "128"}
    read = TransferConfig.load({"chunk_size": 256}, {**environment, "KVTRANSFER_TTL_S": "20"})
    assert (read.chunk_size, read.ttl_s, read.max_pending_puts) == (256, 20, 3)


def test_each_name_of_lmcache_is_read_as_that_setting():
    for name, _, _, meaning in SETTINGS:
        for theirs in re.findall(r"LMCache's name for it is `(\w+)`", meaning):
            assert list(in_our_words({theirs: Value("x", theirs)})) == [name]


def test_every_setting_with_more_to_read_is_a_setting():
    assert configuration_page.GROUPS.keys() <= TransferConfig.model_fields.keys()
    assert configuration_page._MORE.keys() <= TransferConfig.model_fields.keys()
