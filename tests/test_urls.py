from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtransfer.urls import masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://user@h:6379", "redis://user@h:6379"),
        ("redis://:pw@h:6379/0?db=1", "redis://:***@h:6379/0?db=1"),
        ("rediss://user:p/w?x#@y@h/0", "rediss://user:***@h/0"),
        ("redis-sentinel://u:pw@h1:1,h2:2/m", "redis-sentinel://u:***@h1:1,h2:2/m"),
        ("unix:///s.sock?password=p@w&db=3", "unix:///s.sock?password=***&db=3"),
        ("redis://h?a=1&ssl_password=x", "redis://h?a=1&ssl_password=***"),
        ("user:pw@h:6379", "user:***@h:6379"),
        ("memory://", "memory://"),
        (
            "s3://b/p?region=r&secret_access_key=x&sse=y",
            "s3://b/p?region=r&secret_access_key=***&sse=y",
        ),
        ("az://c?account_key=x&sig=y&design=z", "az://c?account_key=***&sig=***&design=z"),
        ("rediss://h?ssl_keyfile=/k", "rediss://h?ssl_keyfile=/k"),
    ],
)
def test_passwords_are_masked(url, shown):
    assert masked(url) == shown
    assert masked(shown) == shown


@given(st.text(st.characters(exclude_characters="*"), min_size=1).map("<{}>".format))
def test_no_password_shows_through(password):
    assert password not in masked(f"redis://user:{password}@host:6379/0")
