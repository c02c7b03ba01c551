"""Judges how a Redis or Valkey is set up, by what it says of itself. Pure.

Each rule yields findings; a field that a server doesn't tell is no finding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kvtransfer.operate.doctor.finding import Finding, Level
from kvtransfer.operate.quantities import bytes_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kvtransfer.config import TransferConfig
    from kvtransfer.stores.redis.inspection import Inspection

_OLDEST = (6, 2)
_LEAST_LIMIT_BYTES = 1 << 30
_CHUNK_BYTES = 32 << 20
_DAY_S = 86400


def judge_server(found: Inspection, config: TransferConfig, now_s: float) -> Iterator[Finding]:
    """Yield what should be changed at the server; ``now_s`` is in seconds since 1970."""
    yield from _version(found)
    yield from _role(found)
    yield from _memory(found, config)
    yield from _use(found)
    yield from _persistence(found)
    yield from _limits(found)
    yield from _cluster(found)
    yield from _line(found, config, now_s)


def _version(found: Inspection) -> Iterator[Finding]:
    version = found.info.get("redis_version", "")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    if len(numbers) == 2 and tuple(numbers) < _OLDEST and "valkey_version" not in found.info:
        yield Finding(
            Level.BROKEN,
            "version",
            f"the server is Redis {version}",
            "install 6.2 or later, or any Valkey",
        )


def _role(found: Inspection) -> Iterator[Finding]:
    info = found.info
    if info.get("role") == "slave":
        yield Finding(
            Level.BROKEN,
            "replica",
            "the server is a replica, which takes no writes",
            f"name its master, {info.get('master_host')}:{info.get('master_port')}, or use "
            "redis-sentinel://",
        )
    wanted = int(found.config.get("min-replicas-to-write", "0"))
    if info.get("role") == "master" and wanted > int(info.get("connected_slaves", "0")):
        yield Finding(
            Level.BROKEN,
            "min-replicas",
            f"the server takes writes only with {wanted} replicas, and has "
            f"{info.get('connected_slaves')}",
            "set min-replicas-to-write 0: a lost chunk is computed again",
        )
    if info.get("loading") == "1":
        yield Finding(
            Level.COSTLY,
            "loading",
            "the server still loads its data",
            "wait, or set save and appendonly off",
        )


def _memory(found: Inspection, config: TransferConfig) -> Iterator[Finding]:
    if "maxmemory" not in found.info:
        return
    limit, policy = int(found.info["maxmemory"]), found.info.get("maxmemory_policy", "")
    if limit == 0:
        yield Finding(
            Level.BROKEN,
            "maxmemory",
            "the server has no limit of memory, and the kernel will end it when the machine is full",
            "set maxmemory to four fifths of its machine",
        )
    elif limit < _LEAST_LIMIT_BYTES:
        yield Finding(
            Level.COSTLY,
            "small",
            f"maxmemory is {bytes_text(limit)}, about {limit // _CHUNK_BYTES} chunks of an 8B model",
            "raise maxmemory, or give the server a larger machine",
        )
    if limit and policy == "noeviction":
        yield Finding(
            Level.BROKEN,
            "noeviction",
            "maxmemory-policy is noeviction: once full, the server refuses every chunk",
            "set maxmemory-policy allkeys-lru",
        )
    if limit and policy.startswith("volatile-") and config.ttl_s is None:
        yield Finding(
            Level.BROKEN,
            "volatile",
            f"maxmemory-policy is {policy}, which evicts only what has a lifetime, and ttl_s is not set",
            "set maxmemory-policy allkeys-lru, or ttl_s",
        )
    if policy == "allkeys-random":
        yield Finding(
            Level.COSTLY,
            "random",
            "maxmemory-policy is allkeys-random, which evicts what is used as soon as what isn't",
            "set maxmemory-policy allkeys-lru",
        )


def _use(found: Inspection) -> Iterator[Finding]:
    info = found.info
    used, resident = int(info.get("used_memory", "0")), int(info.get("used_memory_rss", "0"))
    if used > _LEAST_LIMIT_BYTES and resident < 0.7 * used:
        yield Finding(
            Level.COSTLY,
            "swapped",
            f"{bytes_text(used)} are used and {bytes_text(resident)} are in memory: the rest is swapped",
            "lower maxmemory, or turn the swap of that machine off",
        )
    if used > _LEAST_LIMIT_BYTES and resident > 1.6 * used:
        allocator = info.get("mem_allocator", "jemalloc")
        can_defrag = allocator.startswith("jemalloc")
        change = (
            "set activedefrag yes" if can_defrag else f"use a build with jemalloc, not {allocator}"
        )
        yield Finding(
            Level.COSTLY,
            "fragmented",
            f"{bytes_text(used)} are used and {bytes_text(resident)} are taken from the machine",
            f"{change}, or restart the server; a cache may be emptied",
        )
    clients, most = int(info.get("connected_clients", "0")), int(info.get("maxclients", "0"))
    if most and clients >= 0.9 * most:
        yield Finding(
            Level.BROKEN,
            "maxclients",
            f"{clients} of {most} clients are connected, and the next ones are refused",
            "raise maxclients",
        )


def _persistence(found: Inspection) -> Iterator[Finding]:
    if found.info.get("aof_enabled") == "1" or found.config.get("appendonly") == "yes":
        yield Finding(
            Level.COSTLY,
            "appendonly",
            "appendonly is on: each chunk is written to the server's disk, too",
            "set appendonly no: a cache is computed again, not restored",
        )
    if found.config.get("save"):
        yield Finding(
            Level.COSTLY,
            "snapshots",
            f'save is "{found.config["save"]}": a snapshot may take the memory twice',
            'set save ""',
        )
    if found.info.get("rdb_last_bgsave_status") == "err":
        yield Finding(
            Level.BROKEN,
            "bgsave",
            "the last snapshot failed, and the server then refuses writes",
            'set save "" or stop-writes-on-bgsave-error no',
        )


def _limits(found: Inspection) -> Iterator[Finding]:
    words = found.config.get("client-output-buffer-limit", "").split()
    hard = dict(zip(words[::4], words[1::4], strict=False)).get("normal", "0")
    if hard.isdigit() and 0 < int(hard) < 4 * _CHUNK_BYTES:
        yield Finding(
            Level.BROKEN,
            "output-limit",
            f"client-output-buffer-limit cuts off readers at {bytes_text(int(hard))}",
            "set client-output-buffer-limit normal 0 0 0",
        )
    bulk = found.config.get("proto-max-bulk-len", "")
    if bulk.isdigit() and int(bulk) < 2 * _CHUNK_BYTES:
        yield Finding(
            Level.BROKEN,
            "bulk-length",
            f"proto-max-bulk-len is {bytes_text(int(bulk))}; a longer chunk is refused",
            "set proto-max-bulk-len 512mb, the default",
        )
    if found.config.get("timeout", "0") not in ("", "0"):
        yield Finding(
            Level.COSTLY,
            "timeout",
            f"the server closes connections that are idle for {found.config['timeout']} s",
            "set timeout 0",
        )


def _cluster(found: Inspection) -> Iterator[Finding]:
    if not found.cluster:
        return
    if found.cluster.get("cluster_state") != "ok":
        served = found.cluster.get("cluster_slots_ok")
        yield Finding(
            Level.BROKEN,
            "cluster",
            f"the cluster is {found.cluster.get('cluster_state')}: {served} of 16384 hash slots are served",
            "bring its nodes back, or give their slots to others",
        )
    if found.config.get("cluster-require-full-coverage") == "yes":
        yield Finding(
            Level.COSTLY,
            "coverage",
            "one lost node makes misses of all keys, not only of its own",
            "set cluster-require-full-coverage no",
        )


def _line(found: Inspection, config: TransferConfig, now_s: float) -> Iterator[Finding]:
    answer_ms = found.answer_s * 1000
    if answer_ms * 10 > config.remote_timeout_ms:
        yield Finding(
            Level.COSTLY,
            "timeout-short",
            f"a PING takes {answer_ms:.0f} ms, and remote_timeout_ms is {config.remote_timeout_ms}",
            f"set remote_timeout_ms to at least {int(answer_ms * 20) + 1}",
        )
    if answer_ms > config.lookup_timeout_ms / 4:
        yield Finding(
            Level.COSTLY,
            "lookup-short",
            f"a PING takes {answer_ms:.0f} ms, and lookup_timeout_ms is {config.lookup_timeout_ms}",
            f"set lookup_timeout_ms to at least {int(answer_ms * 8) + 1}",
        )
    if found.ahead_s is not None and abs(found.ahead_s) > 60:
        direction = "ahead of" if found.ahead_s > 0 else "behind"
        yield Finding(
            Level.COSTLY,
            "clock",
            f"the server's clock is {abs(found.ahead_s):.0f} s {direction} this machine's",
            "run a time service on both: ages and lifetimes are judged by clocks",
        )
    if not found.verifies_tls:
        yield Finding(
            Level.UNSAFE,
            "tls-unverified",
            "the URL turns off the check of the server's certificate",
            "name the authority with ssl_ca_certs=FILE instead of ssl_cert_reqs=none",
        )
    if found.certificate_ends is not None and found.certificate_ends - now_s < 14 * _DAY_S:
        days = (found.certificate_ends - now_s) / _DAY_S
        yield Finding(
            Level.BROKEN if days < 0 else Level.COSTLY,
            "certificate",
            f"the server's certificate ends in {days:.0f} days",
            "renew it; connections are refused afterwards",
        )
