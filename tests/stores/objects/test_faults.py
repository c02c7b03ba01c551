"""What a bucket, its server and the line to it may do: a hit less, never an error or a wrong byte."""

from __future__ import annotations

import random
import resource
import signal
import time
import traceback
from contextlib import closing, contextmanager

import pytest

from kvtransfer.errors import StoreError
from kvtransfer.stores import StoreSettings
from kvtransfer.stores.formatted import FormattedStore
from kvtransfer.stores.guarded import GuardedStore
from kvtransfer.stores.objects.calls import HEADER_BYTES
from kvtransfer.stores.objects.store import ObjectStore
from kvtransfer.testing import ABSENT_KEY, CHUNK, KEY, OTHER_KEY, PAYLOAD, get
from tests.faults import proxy as line
from tests.own_clock import OwnClock
from tests.stores.objects.object_backing import ObjectBacking
from tests.stores.objects.servers import (
    BUCKET,
    ENVIRONMENT,
    READERS_KEY,
    SECRET_KEY,
    Moto,
    SeaweedFS,
)

TIMEOUT_S = 1.0
BOUND_S = 20 * TIMEOUT_S
"""By when a call has ended, however busy the machine is."""
PATIENCE_S = 120.0
"""The deadline of calls that have to succeed, however busy the machine is."""
PATIENT = StoreSettings(timeout_s=PATIENCE_S)
WHOLE_BYTES = HEADER_BYTES + CHUNK.nbytes


class Arena:
    """A guarded store that reaches ``server`` through a proxy, and the way around it."""

    def __init__(self, server, timeout_s=TIMEOUT_S):
        self.server = server
        self.timeout_s = timeout_s
        self.proxy = line.Proxy(server.port)
        self.backing = ObjectBacking(server)
        url = server.url(self.backing.prefix, self.proxy.port)
        self._url = url
        self.store = GuardedStore(FormattedStore(self.reopened(), CHUNK), url)

    def close(self):
        self.proxy.follow(line.passing)
        self.store.close()
        self.proxy.close()

    def reopened(self):
        """One more store, of entries, which takes the environment as it is now."""
        return ObjectStore(self._url, StoreSettings(timeout_s=self.timeout_s))

    def call_all(self, absent=(False,)):
        """Every call, each of which ends; what is ``absent`` is said to be so."""
        for call in (
            lambda: get(self.store, KEY) in (None, PAYLOAD),
            lambda: self.store.contains([KEY, ABSENT_KEY])[1] in absent,
            lambda: self.store.put(OTHER_KEY, memoryview(PAYLOAD)) in (False, True),
            lambda: self.store.expect_puts([KEY]) is None,
            lambda: get(self.store, OTHER_KEY) in (None, PAYLOAD),
        ):
            clock = OwnClock()
            assert call()
            assert clock.passed_s < BOUND_S

    def assert_well(self):
        """Soon all is served again."""
        until(lambda: self.store.put(KEY, memoryview(PAYLOAD)) and get(self.store, KEY) == PAYLOAD)
        until(lambda: self.store.contains([KEY, ABSENT_KEY]) == [True, False])
        assert self.store.faults == 0

    @contextmanager
    def failing(self):
        """While the body lasts, the store is asked, fails and is survived."""
        self.assert_well()
        before = self.store.failures
        yield
        assert self.store.failures > before


def until(condition):
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"still not so after {PATIENCE_S} s"
        time.sleep(0.05)


@pytest.fixture
def at(seaweedfs):
    with closing(Arena(seaweedfs)) as arena:
        yield arena


@pytest.fixture
def patient(seaweedfs):
    with closing(Arena(seaweedfs, PATIENCE_S)) as arena:
        yield arena


def test_killed():
    with SeaweedFS() as server, closing(Arena(server)) as at:
        with at.failing():
            server.kill()
            at.call_all()
        server.start()
        at.assert_well()


def test_stopped(at):
    with at.failing():
        at.server.signal(signal.SIGSTOP)
        try:
            at.call_all()
        finally:
            at.server.signal(signal.SIGCONT)
    at.assert_well()


RULES = {
    "reset": line.resetting,
    "closed": line.closing,
    "stalled": line.stalling,
    "replies lost": line.swallowing,
    "one byte at a time": line.dribbling(0.05),
    "delayed for too long": line.delaying(2 * TIMEOUT_S),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_slow(at, rule):
    with at.failing():
        at.proxy.follow(rule)
        try:
            at.call_all()
        finally:
            at.proxy.follow(line.passing)
    at.assert_well()


def test_slow_but_in_time(at):
    at.assert_well()
    at.proxy.follow(line.delaying(TIMEOUT_S / 50))
    at.call_all()
    at.proxy.follow(line.passing)
    at.assert_well()


def test_connections_forgotten(at):
    at.assert_well()
    at.proxy.forget_lines()
    at.call_all()
    at.assert_well()


def xml(status, code, message="why"):
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return http(status, body.encode())


def http(status, body=b"", **headers):
    names = {"Content-Length": len(body), **{k.replace("_", "-"): v for k, v in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in names.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


WRITTEN = {"ETag": '"x"', "Last_Modified": "Sun, 29 Nov 2026 18:37:17 GMT"}
PARTIAL = "206 Partial Content"
ANSWERS = {
    "no HTTP": b"-ERR unknown command\r\n",
    "nothing": b"",
    "zeroes": b"\0" * 1000,
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2_000_000,
    "overloaded": xml("503 Slow Down", "SlowDown"),
    "internal error": xml("500 Internal Server Error", "InternalError"),
    "not XML": http("500 Internal Server Error", b"<" * 100_000),
    "expired credentials": xml("400 Bad Request", "ExpiredToken"),
    "another region": xml("301 Moved Permanently", "PermanentRedirect"),
    "redirected in a circle": http("307 Temporary Redirect", Location="/"),
    "no range": http("200 OK", b"x" * WHOLE_BYTES, **WRITTEN),
    "a length without end": http(
        PARTIAL, b"x" * 3_000_000, **WRITTEN,
        Content_Range=f"bytes 0-{WHOLE_BYTES - 1}/{WHOLE_BYTES}", Content_Length=10**14,
    ),
    "less than announced": http(
        PARTIAL, b"x" * 100, **WRITTEN,
        Content_Range=f"bytes 0-{WHOLE_BYTES - 1}/{WHOLE_BYTES}",
    ),
    "a huge object": http(
        PARTIAL, b"x" * WHOLE_BYTES, **WRITTEN,
        Content_Range=f"bytes 0-{WHOLE_BYTES - 1}/{2**62}",
    ),
    "another range": http(
        PARTIAL, b"x" * WHOLE_BYTES, **WRITTEN,
        Content_Range=f"bytes 7-{WHOLE_BYTES + 6}/{2 * WHOLE_BYTES}",
    ),
    "rubbish": http(
        PARTIAL, b"x" * WHOLE_BYTES, **WRITTEN,
        Content_Range=f"bytes 0-{WHOLE_BYTES - 1}/{WHOLE_BYTES}",
    ),
    "a range of words": http(PARTIAL, b"x" * 100, **WRITTEN, Content_Range="bytes a-b/c"),
    "no time": http(PARTIAL, b"x", Content_Range="bytes 0-0/1", ETag='"x"'),
}  # fmt: skip


@pytest.mark.parametrize("reply", ANSWERS.values(), ids=ANSWERS)
def test_hostile(at, reply):
    at.assert_well()
    at.proxy.follow(line.answering(reply))
    try:
        at.call_all(absent=(False, True))  # a lookup doesn't verify
    finally:
        at.proxy.follow(line.passing)
        at.proxy.hang_up()
    at.assert_well()


def endlessly(head):
    """Each request is answered by ``head`` and bytes without end."""

    def rule(carried, way, data):
        if way == line.REQUEST:
            carried.send(line.REPLY, head)
            while not carried.healed.is_set():
                carried.send(line.REPLY, bytes(1 << 16))

    return rule


def test_endless(at):
    at.assert_well()
    head = http(
        PARTIAL,
        **WRITTEN,
        Content_Range=f"bytes 0-{WHOLE_BYTES - 1}/{WHOLE_BYTES}",
        Content_Length=10**14,
    )
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    at.proxy.follow(endlessly(head))
    try:
        for _ in range(3):
            assert get(at.store, KEY) is None
    finally:
        at.proxy.follow(line.passing)
        at.proxy.hang_up()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kib + (64 << 10)
    at.assert_well()


def test_full():
    with SeaweedFS(volumes=3) as server, closing(Arena(server, PATIENCE_S)) as at:
        at.assert_well()
        server.mark_volumes("-readonly")
        assert not at.store.put(OTHER_KEY, memoryview(PAYLOAD))
        assert at.store.contains([KEY, OTHER_KEY]) == [True, False]
        assert get(at.store, KEY) == PAYLOAD
        assert at.store.failures == 1
        server.mark_volumes("-writable")
        at.assert_well()
        until(lambda: at.store.put(OTHER_KEY, memoryview(PAYLOAD)))
        assert get(at.store, OTHER_KEY) == PAYLOAD


def test_read_only(patient, monkeypatch):
    patient.assert_well()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", READERS_KEY)
    with closing(FormattedStore(patient.reopened(), CHUNK)) as store:
        assert get(store, KEY) == PAYLOAD
        assert store.put(KEY, memoryview(PAYLOAD))  # held already
        with pytest.raises(StoreError, match=r"AccessDenied: .*lack a right"):
            store.put(OTHER_KEY, memoryview(PAYLOAD))


def test_wrong_credentials(patient, monkeypatch):
    patient.assert_well()
    secret = "wrong" + "s3cret"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session" + secret * 10)
    with closing(FormattedStore(patient.reopened(), CHUNK)) as store:
        for call in (
            lambda: get(store, KEY),
            lambda: store.put(KEY, memoryview(PAYLOAD)),
            lambda: store.contains([KEY]),
        ):
            with pytest.raises(StoreError, match="credentials") as refused:
                call()
            shown = "".join(traceback.format_exception(refused.value))
            assert secret not in shown + repr(store.store)
            assert SECRET_KEY not in shown


def test_no_credentials(patient, monkeypatch):
    """Nor a machine that has some: the address is one at which no server listens."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    with (
        closing(FormattedStore(patient.reopened(), CHUNK)) as store,
        pytest.raises(StoreError, match="no credentials are in the environment"),
    ):
        store.contains([KEY])


def test_credentials_that_a_server_repeats_are_not_shown(patient, monkeypatch):
    token = "t0ken" * 20
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    patient.proxy.follow(line.answering(xml("400 Bad Request", "InvalidToken", f"not {token}")))
    with (
        closing(FormattedStore(patient.reopened(), CHUNK)) as store,
        pytest.raises(StoreError, match=r"InvalidToken: not \*\*\*"),
    ):
        get(store, KEY)


@pytest.mark.parametrize("kind", [SeaweedFS, Moto])
def test_bucket_missing(kind, request):
    server = request.getfixturevalue(kind.__name__.lower())
    url = server.url().replace(BUCKET, "no-such-bucket")
    with closing(FormattedStore(ObjectStore(url, PATIENT), CHUNK)) as store:
        assert store.contains([KEY]) == [False]
        for call in (lambda: get(store, KEY), lambda: store.put(KEY, memoryview(PAYLOAD))):
            with pytest.raises(StoreError, match=r"NoSuchBucket|AccessDenied"):
                call()


def test_flipped(patient):
    chance, misses = random.Random(1), 0
    patient.assert_well()
    whole = patient.backing.whole(KEY)
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        patient.backing.replace(KEY, bytes(flipped))
        found = get(patient.store, KEY)
        assert found in (None, PAYLOAD)
        assert (patient.backing.whole(KEY) is None) == (found is None)
        misses += found is None
    assert misses > 50  # the rest fell into padding
    patient.assert_well()


def test_truncated(patient):
    chance = random.Random(2)
    patient.assert_well()
    whole = patient.backing.whole(KEY)
    for nbytes in (0, 1, HEADER_BYTES, *(chance.randrange(len(whole)) for _ in range(20))):
        patient.backing.replace(KEY, whole[:nbytes])
        assert patient.store.contains([KEY]) == [False]
        assert get(patient.store, KEY) is None
        patient.backing.replace(KEY, whole[:nbytes])
        assert patient.store.put(KEY, memoryview(PAYLOAD))
        assert get(patient.store, KEY) == PAYLOAD


def test_oversized(patient):
    patient.assert_well()
    whole = patient.backing.whole(KEY)
    for content in (whole + b"\0", whole * 2, whole + bytes(40 << 20)):
        patient.backing.replace(KEY, content)
        assert patient.store.contains([KEY]) == [False]
        assert get(patient.store, KEY) is None
        assert patient.backing.whole(KEY) is None


def test_replaced_by_another(patient):
    patient.assert_well()
    patient.backing.replace(OTHER_KEY, patient.backing.whole(KEY))
    assert get(patient.store, OTHER_KEY) is None
    assert patient.backing.whole(OTHER_KEY) is None
    assert get(patient.store, KEY) == PAYLOAD
