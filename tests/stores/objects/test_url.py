"""Which URLs name a bucket, and what the others are told."""

from __future__ import annotations

import sys
import traceback
from contextlib import closing

import pytest

from kvtransfer.client_programs.objects.client import open_client
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.check import check_stores
from kvtransfer.stores.objects.url import read_url
from kvtransfer.stores.open import open_entries


def test_a_url_names_bucket_prefix_and_server():
    url = read_url("s3://b/a/c%20d/?endpoint=http://h:9000/&region=eu-central-1&path_style=false")
    assert (url.bucket, url.prefix, url.endpoint) == ("b", "a/c d", "http://h:9000")
    assert (url.region, url.path_style, url.account) == ("eu-central-1", False, "")
    assert read_url("s3://b").prefix == ""
    assert read_url("az://c/p?account=name").account == "name"


def test_path_style_is_the_default_where_a_server_is_named():
    assert read_url("s3://b?endpoint=https://h").path_style
    assert not read_url("s3://b").path_style
    assert read_url("s3://b?path_style=true").path_style


def test_a_bucket_in_the_name_of_the_host_is_asked_there():
    url = read_url("s3://b/p?endpoint=https://h:1/x&path_style=false&region=r")
    config = dict(open_client(url.settings(1.0)).config)
    assert config["endpoint"] == "https://b.h:1/x"
    assert config["virtual_hosted_style_request"] == "true"
    plain = dict(open_client(read_url("s3://b?endpoint=https://h:1").settings(1.0)).config)
    assert plain["endpoint"] == "https://h:1"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://host:9000/bucket", "'host:9000' is no bucket; name the server as endpoint"),
        ("s3://b/a//c", "empty part"),
        ("s3://b/../c", r"\.\."),
        ("s3://b#x", "write # as %23"),
        ("s3://b?endpoint=host:9000", "http://host:port or https://host:port"),
        ("s3://b?endpoint=ftp://host", "http://host:port or https://host:port"),
        ("s3://b?endpoint=http://u:w0rd@host", "http://host:port or https://host:port"),
        ("s3://b?region=", "region is empty"),
        ("s3://b?region=a&region=b", "twice"),
        ("s3://b?path_style=yes", "path_style=yes must be true or false"),
        ("s3://b?rgion=x", r"unknown parameter 'rgion' .did you mean region\?"),
        ("s3://b?max_gib=1", "known are endpoint, region, path_style"),
        ("gs://b?region=x", "unknown parameter 'region'"),
        ("az://c/p", "Account must be specified"),
        ("s3://key:w0rd@b", "credentials don't belong there"),
        ("s3://b?secret_access_key=w0rd", "never from the URL"),
        ("s3://b?x=w0rd", "never from the URL"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused(url, sentence):
    with pytest.raises(ConfigError, match=sentence) as refused:
        check_stores(TransferConfig.of(remote_url=url))
    assert "w0rd" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "url",
    ["s3://b", "s3://b/p?region=eu-central-1", "gs://b/p", "az://c/p?account=name",
     "gs://b?endpoint=http://127.0.0.1:1", "az://c?account=name&endpoint=http://127.0.0.1:1"],
)  # fmt: skip
def test_what_only_does_not_answer_is_not_refused(url):
    check_stores(TransferConfig.of(remote_url=url))
    with closing(open_entries(url, StoreSettings())) as store:
        assert "secret" not in repr(store)


def test_half_of_the_credentials_are_refused_early(monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "alone")
    with pytest.raises(ConfigError, match="Missing AccessKeyId"):
        check_stores(TransferConfig.of(remote_url="s3://b"))


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"s3:// needs .*obstore.*: pip install '\.\[s3\]'"):
        check_stores(TransferConfig.of(remote_url="s3://b"))
