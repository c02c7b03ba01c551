import re

import pytest

from kvtransfer.chunks.keys import tenant_of_salt
from kvtransfer.config import TransferConfig
from kvtransfer.errors import ConfigError
from kvtransfer.quotas import Quotas, tenant_name

GIB = 2**30
A, B = tenant_of_salt("a"), tenant_of_salt("b")


def read(tmp_path, text):
    file = tmp_path / "quotas.yaml"
    file.write_text(text)
    return Quotas.read(str(file))


def test_without_a_file_there_is_no_quota():
    assert Quotas.read(TransferConfig.of().quotas_file) == Quotas(None, None)


def test_each_tenant_has_the_common_limit_but_for_the_named_ones(tmp_path):
    host = read(tmp_path, f"host: {{each_tenant: 2, tenants: {{'{A}': 0.5, none: 4}}}}").host
    assert host.of_tenant(A) == GIB // 2
    assert host.of_tenant(B) == 2 * GIB
    assert host.of_tenant("") == 4 * GIB


def test_requests_without_a_salt_have_no_limit_unless_they_are_named(tmp_path):
    host = read(tmp_path, f"host: {{each_tenant: 2, tenants: {{'{A}': unlimited}}}}").host
    assert (host.of_tenant(""), host.of_tenant(A)) == (None, None)
    assert (tenant_name(""), tenant_name(A)) == ("none", A)


def test_the_remote_store_has_limits_of_models_and_namespaces_too(tmp_path):
    remote = read(tmp_path, "remote:\n  models: {org/m: 200}\n  namespaces: {'': 1, prod: 400}\n")
    assert remote.host is None
    assert remote.remote.models_bytes == {"org/m": 200 * GIB}
    assert remote.remote.namespaces_bytes == {"": GIB, "prod": 400 * GIB}
    assert remote.remote.of_tenant(A) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; write a section host or remote"),
        ("[1]", "it must hold lines like `host: ...`"),
        ("host: {", "is not YAML in line 1"),
        ("hosts: {}", "there is no hosts; known are host, remote"),
        ("disk: {each_tenant: 2}", "disk is not known here: the disk tier keeps no quotas; "),
        ("host:", "host is empty; write `each_tenant: unlimited`"),
        ("host: 3", "host must hold lines like `each_tenant: ...`"),
        ("host: {each: 2}", "no host.each; known are each_tenant, tenants, idle_after_s"),
        ("host: {models: {m: 2}}", "host.models is not known here: an engine has one model; "),
        ("host: {each_tenant: 2 GiB}", r"each_tenant ('2 GiB') must be GiB, more than 0, or unlim"),
        ("host: {each_tenant: -1}", "host.each_tenant (-1) must be GiB, more than 0"),
        ("host: {each_tenant: .inf}", "host.each_tenant (inf) must be GiB"),
        ("host: {each_tenant: true}", "host.each_tenant (True) must be GiB"),
        ("host: {idle_after_s: 0}", "host.idle_after_s (0) must be seconds, more than 0"),
        ("host: {tenants: 3}", "host.tenants must hold lines like `name: 20`, in GiB"),
        (f"host: {{tenants: {{'{A}': x}}}}", f"host.tenants.{A} ('x') must be GiB"),
        ("remote: {models: {7: 1}}", "remote.models (7) must be a text; put quotes"),
    ],
)
def test_what_means_nothing_is_refused_in_one_sentence(tmp_path, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"quotas_file {tmp_path / 'quotas.yaml'}: ")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="can't be read: No such file or directory; name a"):
        Quotas.read(str(tmp_path / "missing"))


@pytest.mark.parametrize("name", ["my-salt", "3f2a", "'12'", "12", A.upper(), A + "0"])
def test_a_salt_in_the_place_of_its_digest_is_not_shown(tmp_path, name):
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f"host: {{tenants: {{none: 1, {name}: x}}}}")
    assert str(refused.value) == (
        f"quotas_file {tmp_path / 'quotas.yaml'}: name number 2 in host.tenants must be none, or "
        "the 32 hex digits in quotes that `kvtransfer tenant` prints for a cache_salt"
    )
