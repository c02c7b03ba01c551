from kvtransfer.quotas.limits import RemoteLimits
from kvtransfer.stores.ledgers.scope import KnownLimits, Limit, Scope, ScopeLimits
from tests.stores.ledgers.quotas import MODEL, OTHER_TENANT, TENANT, key_of

KEY = key_of(1, 1)
LIMITS = RemoteLimits(
    each_bytes=1,
    named_bytes={OTHER_TENANT: 2, "": None},
    models_bytes={MODEL: 3, "other": 4},
    namespaces_bytes={"prod": 5},
)


def test_each_limit_that_holds_for_an_entry():
    limits = ScopeLimits(LIMITS, "prod")
    assert limits.of(KEY, TENANT) == [
        Limit(Scope("tenant", TENANT), 1),
        Limit(Scope("namespace", "prod"), 5),
        Limit(Scope("model", MODEL), 3),
    ]
    assert limits.of(KEY, OTHER_TENANT)[0] == Limit(Scope("tenant", OTHER_TENANT), 2)
    assert [limit.scope.kind for limit in limits.of(KEY, "")] == ["namespace", "model"]


def test_a_listing_does_not_tell_the_namespace():
    kinds = [limit.scope.kind for limit in ScopeLimits(LIMITS, "prod").of_listed(KEY, TENANT)]
    assert kinds == ["tenant", "model"]


def test_no_limit():
    assert ScopeLimits(RemoteLimits(), "").of(KEY, TENANT) == []


def test_the_requests_without_a_salt_are_called_none():
    limits = ScopeLimits(RemoteLimits(named_bytes={"": 7}), "")
    assert limits.of(KEY, "") == [Limit(Scope("tenant", "none"), 7)]


def test_a_scope_is_read_back():
    for scope in (Scope("model", "a:b"), Scope("tenant", TENANT), Scope("namespace", "")):
        assert Scope.read(str(scope)) == scope


def test_limits_by_which_ledgers_were_kept():
    known = KnownLimits({Scope("tenant", TENANT): 1, Scope("namespace", "prod"): 2})
    assert known.of(KEY, TENANT) == [Limit(Scope("tenant", TENANT), 1)]
    assert known.of(KEY, OTHER_TENANT) == []
