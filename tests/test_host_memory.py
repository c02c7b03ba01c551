from __future__ import annotations

import pytest

from kvtransfer.device import arena
from kvtransfer.errors import ConfigError
from kvtransfer.host_memory import HostMemory, OutOfMemoryError, require_installed, taking
from tests.test_transfer import opened, paged

GIB = 2**30
MEMINFO = "MemTotal:       67108864 kB\nMemFree: 1 kB\nMemAvailable:   33554432 kB\n"


@pytest.fixture
def machine(tmp_path):
    """Writes files of the kernel's, by path."""

    def write(files):
        for path, text in {"proc/meminfo": MEMINFO, **files}.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(f"{text}\n")
        memory = HostMemory.read(tmp_path)
        return memory.installed_bytes / GIB, memory.available_bytes / GIB

    return write


def group(folder, limit, used, cached=0):
    """Of version 2, in GiB."""
    return {
        f"sys/fs/cgroup/{folder}/memory.max": limit if limit == "max" else limit * GIB,
        f"sys/fs/cgroup/{folder}/memory.current": used * GIB,
        f"sys/fs/cgroup/{folder}/memory.stat": f"anon 5\ninactive_file {cached * GIB}",
    }


def old_group(folder, limit, used, cached=0):
    """Of version 1."""
    return {
        f"sys/fs/cgroup/memory/{folder}/memory.limit_in_bytes": limit * GIB,
        f"sys/fs/cgroup/memory/{folder}/memory.usage_in_bytes": used * GIB,
        f"sys/fs/cgroup/memory/{folder}/memory.stat": f"total_inactive_file {cached * GIB}",
    }


V2 = {"proc/self/cgroup": "0::/kube/pod"}
V1 = {"proc/self/cgroup": "11:cpu,cpuacct:/x\n5:memory:/docker/abc\n0::/"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (64, 32)),
        ({"proc/meminfo": "nonsense"}, None),
        ({**V2, **group("kube/pod", "max", 1)}, (64, 32)),
        ({**V2, **group("kube/pod", 8, 2)}, (8, 6)),
        ({**V2, **group("kube/pod", 8, 6, cached=3)}, (8, 5)),
        ({**V2, **group("kube", 16, 15), **group("kube/pod", 24, 2)}, (16, 1)),
        ({**V2, **group("", 8, 2)}, (8, 6)),  # a container sees its own group at the mount
        ({**V2, **group("kube/pod", 8, 9)}, (8, 0)),
        ({**V2, **group("kube/pod", 100, 2)}, (64, 32)),
        ({**V1, **old_group("docker/abc", 8, 2)}, (8, 6)),
        ({**V1, **old_group("", 8, 6, cached=1)}, (8, 3)),
        ({**V1, **old_group("", 2**33 - 1, 2)}, (64, 32)),  # no limit
    ],
)
def test_the_least_of_machine_and_containers_counts(machine, files, expected):
    found = machine(files)
    assert found == expected if expected else min(found) > 2**20


def test_what_is_not_left_is_not_taken():
    memory = HostMemory(64 * GIB, 10 * GIB)
    memory.require(9 * GIB)
    with pytest.raises(OutOfMemoryError, match=r"9.8 GiB .* wanted, and 10.0 GiB are left"):
        memory.require(int(9.8 * GIB))  # others need some, too


def test_more_than_the_machine_has_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"max_local_cpu_size=1000000.0 GiB is more than the "):
        require_installed(1e6)


def test_who_is_late_is_told_in_the_same_sentence():
    wanted = r"max_local_cpu_size=3.0 GiB, .*: 2.0 GiB .* 1.0 GiB are left; lower it"
    with pytest.raises(ConfigError, match=wanted), taking(3.0, 4096):
        HostMemory(GIB, GIB).require(2 * GIB)


@pytest.fixture
def overtaken(monkeypatch):
    """Others take a GiB between any two looks at what is left, of ten; tells how often we looked."""
    looks = []

    def read():
        looks.append(len(looks))
        return HostMemory(64 * GIB, (10 - len(looks)) * GIB)

    monkeypatch.setattr(HostMemory, "read", read)
    monkeypatch.setattr(arena, "_STEP_BYTES", 1 << 16)
    return looks


def test_a_worker_stops_before_it_takes_the_last_memory(overtaken):
    with pytest.raises(OutOfMemoryError):
        arena.Pages.of(1 << 22)
    assert len(overtaken) == 10


@pytest.mark.usefixtures("overtaken")
def test_a_pool_that_others_overtake_is_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"max_local_cpu_size=0.01 GiB, which each worker"):
        opened(paged()[1], max_local_cpu_size=0.01)


def test_more_than_there_is_is_refused_before_anything_is_made():
    for gib in (1e6, 1e12):
        with pytest.raises(ConfigError, match=rf"max_local_cpu_size={gib} GiB is more than"):
            opened(paged()[1], max_local_cpu_size=gib)


def test_where_the_kernel_is_old_pages_are_touched_one_by_one(monkeypatch):
    monkeypatch.setattr(arena, "_POPULATE_WRITE", 1 << 20)  # no advice that any kernel knows
    assert not arena.Pages.of(1 << 17).tensor().any()
