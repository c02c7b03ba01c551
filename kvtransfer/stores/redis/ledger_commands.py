"""Packs the commands about ledgers, and reads their replies. Pure.

The ledger of a scope is three values under one hash tag: two sorted sets with the same members,
one by bytes and one by the last put or use in µs since 1970, and a hash with ``held``, the sum of
the bytes, counts, and each writer's lease with its end. One script changes all of them. It removes no entry, as an entry's values lie
elsewhere in a cluster. No sorted set is seen by a listing of entries, which scans for hashes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from kvtransfer.stores.ledgers.interface import Account, ScopeState
from kvtransfer.stores.ledgers.member import Member
from kvtransfer.stores.redis.wire.batch import command

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvtransfer.stores.ledgers.interface import Telling
    from kvtransfer.stores.ledgers.scope import Limit, Scope

REGISTRY = b"kvtransfer:quota:{scopes}"
"""A set of the names of all scopes that have a ledger."""
CLAIM = b"kvtransfer:quota:{scopes}:recount"
"""Names the writer that recounts; it expires."""
COUNTED = b"counted"
"""In the registry beside the scopes, which have a colon: a recount has covered all entries."""
_CLAIM_S = b"600"
_MOST_VICTIMS = 200
# Longer than a writer uses a lease without telling its ledger.
_LEASE_US = 10_000_000
_DIGITS = re.compile(rb"[0-9]{1,16}")

_SCRIPT = b"""
local sizes, order, state = KEYS[1], KEYS[2], KEYS[3]
local limit, victims_left = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local function is_a(kind, name)
  local found = redis.call('TYPE', name).ok
  return found == kind or found == 'none'
end

local held
if is_a('zset', sizes) and is_a('zset', order) and is_a('hash', state)
    and redis.call('ZCARD', sizes) == redis.call('ZCARD', order) then
  held = tonumber(redis.call('HGET', state, 'held') or '')
end
local is_new = 0
if not (held and held >= 0 and held < 2 ^ 53) then
  redis.call('UNLINK', sizes, order, state)
  held, is_new = 0, 1
end

local function set(name, size, put)
  local old = tonumber(redis.call('ZSCORE', sizes, name) or 0)
  if size > 0 and not (put and old > 0) then
    redis.call('ZADD', sizes, size, name)
    held = held + size - old
  elseif size == 0 then
    redis.call('ZREM', sizes, name)
    redis.call('ZREM', order, name)
    held = held - old
  end
  if (size > 0 or (size < 0 and old > 0)) and not (put and old > 0) then
    redis.call('ZADD', order, put or now, name)
  end
end

for i = 6, #ARGV, 3 do
  set(ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
end
local lease, size = ARGV[3], tonumber(ARGV[4])
local old = string.match(redis.call('HGET', state, lease) or '', '^(%d+) ')
held = held + size - tonumber(old or 0)
if size > 0 then
  redis.call('HSET', state, lease, string.format('%.0f %.0f', size, now + LEASE_US))
elseif old then
  redis.call('HDEL', state, lease)
end

local leases, fields = 0, redis.call('HGETALL', state)
for i = 1, #fields, 2 do
  local leased, ends = string.match(fields[i + 1], '^(%d+) (%d+)$')
  if leased and tonumber(ends) >= now then
    leases = leases + 1
  elseif leased then
    redis.call('HDEL', state, fields[i])
    held = held - tonumber(leased)
  end
end

local victims = {}
while held > limit and #victims < victims_left do
  local oldest = redis.call('ZPOPMIN', order)[1]
  if not oldest then break end
  held = held - tonumber(redis.call('ZSCORE', sizes, oldest) or 0)
  redis.call('ZREM', sizes, oldest)
  victims[#victims + 1] = oldest
end
local shown = string.format('%.0f', held)
redis.call('HSET', state, 'held', shown, 'limit', ARGV[1])
redis.call('HINCRBY', state, 'evicted', #victims)
redis.call('HINCRBY', state, 'refused', ARGV[5])
return {is_new, shown, leases, victims}
""".replace(b"LEASE_US", b"%d" % _LEASE_US)


class LedgerNames(NamedTuple):
    """The names of the three values of one ledger."""

    sizes: bytes
    order: bytes
    state: bytes


def names_of(scope: Scope) -> LedgerNames:
    """Name the values of the ledger of ``scope``."""
    tag = f"kvtransfer:quota:{{{scope.kind}:{quote(scope.name, safe='')}}}"
    return LedgerNames(*(f"{tag}:{part}".encode() for part in LedgerNames._fields))


def tell(limit: Limit, writer: str, telling: Telling) -> bytes:
    """Run the script; it is sent as text, as a server may forget scripts at any time."""
    arguments = [
        b"%d" % limit.nbytes,
        b"%d" % _MOST_VICTIMS,
        f"lease:{writer}".encode(),
        b"%d" % telling.lease_bytes,
        b"%d" % telling.refused,
    ]
    for member, nbytes in telling.entries.items():
        put_us = telling.put_us.get(member)
        put = b"" if put_us is None else b"%d" % put_us
        arguments += [str(member).encode(), b"%d" % nbytes, put]
    return command(b"EVAL", _SCRIPT, b"3", *names_of(limit.scope), *arguments)


def account_of(reply: object) -> Account | None:
    """Read the reply of the script; None for anything else."""
    match reply:
        case [int(is_new), bytes(held), int(leases), list(victims)] if _DIGITS.fullmatch(held):
            return Account(bool(is_new), int(held), leases, list(_members(victims)))
    return None


def _members(names: Iterable[object]) -> Iterable[Member]:
    """Yield what is the name of an entry; others may have planted anything."""
    for name in names:
        if isinstance(name, bytes):
            member = Member.read(name.decode(errors="replace"))
            if member is not None:
                yield member


def state(names: LedgerNames) -> list[bytes]:
    """Ask what a ledger holds."""
    return [command(b"HGETALL", names.state), command(b"ZCARD", names.sizes)]


def state_of(scope: Scope, fields: Mapping[str, str], entries: object) -> ScopeState:
    """Make the state of ``scope`` from the replies; what makes no sense is zero."""
    numbers = [fields.get(name, "") for name in ("limit", "held", "evicted", "refused")]
    limit, held, evicted, refused = (
        int(text) if _DIGITS.fullmatch(text.encode()) else 0 for text in numbers
    )
    count = entries if isinstance(entries, int) else 0
    return ScopeState(scope, limit, held, count, evicted, refused)


def scan_order(names: LedgerNames, cursor: bytes) -> bytes:
    """Ask for some members and their last put or use from ``cursor`` on."""
    return command(b"ZSCAN", names.order, cursor, b"COUNT", b"200")


def uses_of(reply: object) -> tuple[bytes, dict[Member, int]]:
    """Read the reply to ZSCAN: the next cursor, which is ``0`` at the end, and the entries."""
    match reply:
        case [bytes() as cursor, list() as parts]:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            return cursor, {
                member: _us(score) for name, score in pairs for member in _members([name])
            }
    return b"0", {}


def _us(score: object) -> int:
    try:
        return int(float(score)) if isinstance(score, bytes | float | int) else 0
    except (ValueError, OverflowError):
        return 0


def claim(writer: str) -> bytes:
    """Be named in the claim, unless another writer is."""
    return command(b"SET", CLAIM, writer.encode(), b"NX", b"EX", _CLAIM_S)


def prolong_claim() -> bytes:
    """Let the claim live on."""
    return command(b"EXPIRE", CLAIM, _CLAIM_S)
