"""Each declared metric is counted by some real engine on a real server."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from kvtransfer.metrics import COUNTERS, DURATIONS, GAUGES, TENANT_GAUGES
from tests.connector.conversation import CHUNK_BYTES, hold, requests, small_host
from tests.connector.engine_process import Request
from tests.connector.inputs import CHUNK_TOKENS, connected, prompt

if TYPE_CHECKING:
    from pathlib import Path

    from kvtransfer.stores.embedded.server import EmbeddedServer
    from tests.connector.engines import Engines
    from tests.connector.entries import Entries
    from tests.connector.plain_vllm import PlainVllm

pytestmark = pytest.mark.vllm

NEVER = 1e-9
"""A margin by which no load pays."""
FEW_GIB = 4 * CHUNK_BYTES / 2**30
DEADLINE_S = 120
REQUESTS = [Request(prompt(tokens, seed=tokens)) for tokens in (300, 460, 200, 260, 331, 410)]


@dataclass(frozen=True)
class Place:
    """What the engines of a scenario are started with."""

    engines: Engines
    model: str
    plain: PlainVllm
    server: EmbeddedServer
    entries: Entries
    folder: Path

    def setup(self, **settings):
        return connected(self.model, self.server.url, **settings)

    def fill(self):
        """Have the store hold all of ``REQUESTS``."""
        with self.engines.start(self.setup()) as engine:
            engine.generate(*REQUESTS)
        self.entries.await_count(sum(len(it.prompt_ids) // CHUNK_TOKENS for it in REQUESTS))

    @contextmanager
    def silence(self):
        """Stop the server's process: it answers no request meanwhile."""
        os.kill(self.server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server.pid, signal.SIGCONT)


def tiers_that_serve(place):
    asked = requests(place.plain, 6, 3, seed=2)
    setup = small_host(place.model, 18, place.folder, 26, place.server.url)
    with place.engines.start(setup) as engine:
        deadline_s = time.monotonic() + DEADLINE_S
        while "promoted_chunks" not in engine.seen():  # it is done by a thread of its own
            assert time.monotonic() < deadline_s, "nothing promoted"
            hold(engine, asked)
        return engine.seen()


def requests_that_wait(place):
    place.fill()
    setup = place.setup(options={"max_num_seqs": 1}, remote_connections=1)
    with place.engines.start(setup) as engine:
        engine.submit(Request(prompt(200), answer_tokens=64))
        while "RUNNING" not in engine.step().values():
            time.sleep(0.001)  # the store is asked what it has; until then others would go first
        engine.submit(*REQUESTS)  # which wait until it is answered
        engine.run()
        return engine.seen()


def damaged_entries(place):
    place.fill()
    place.entries.flip_a_bit_of_each_payload()
    with place.engines.start(place.setup()) as engine:
        engine.generate(REQUESTS[0])
        return engine.seen()


def a_store_slower_than_computing(place):
    place.fill()
    with place.engines.start(place.setup(load_margin=NEVER, local_cpu=False)) as engine:
        deadline_s = time.monotonic() + DEADLINE_S
        while "probed_chunks" not in engine.seen():  # one a while after it was refused
            assert time.monotonic() < deadline_s, "never asked again"
            engine.generate(new_request())
            engine.generate(REQUESTS[1])
            assert engine.reset()
        return engine.seen()


def host_memory_slower_than_computing(place):
    with place.engines.start(place.setup(load_margin=NEVER)) as engine:
        deadline_s = time.monotonic() + DEADLINE_S
        while "refused_tokens" not in engine.seen():
            assert time.monotonic() < deadline_s, "never refused"
            engine.generate(REQUESTS[1])
            assert engine.reset()
        return engine.seen()


def compressed_chunks(place):
    setup, chunks = (
        place.setup(remote_serde="lossless"),
        len(REQUESTS[1].prompt_ids) // CHUNK_TOKENS,
    )
    with place.engines.start(setup) as engine:
        engine.generate(REQUESTS[1])
        place.entries.await_count(chunks)
        engine.generate(new_request())  # its steps report what has been put meanwhile
        seen = engine.seen()
    with place.engines.start(setup) as engine:
        engine.generate(REQUESTS[1])
        return seen | engine.seen()


def passages_of_another_process(place):
    place.fill()
    place.entries.await_announcement()
    with place.engines.start(place.setup()) as engine:
        moved = prompt(20, seed=77) + REQUESTS[1].prompt_ids + prompt(9, seed=78)
        engine.generate(Request(moved, blend={"blend": True}))
        return engine.seen()


def a_silent_store(place):
    setup = place.setup(max_pending_puts=1, remote_timeout_ms=100)
    with place.engines.start(setup) as engine, place.silence():
        deadline_s = time.monotonic() + DEADLINE_S
        while not {"open_breakers", "put_dropped_chunks"} <= engine.seen():
            assert time.monotonic() < deadline_s, (
                "the circuit breaker never opened, or no put was dropped"
            )
            engine.generate(new_request(), new_request())
        assert "puts dropped, because more than max_pending_puts=1 waited" in engine.log()
        return engine.seen()


def late_answers_and_full_host_memory(place):
    setup = place.setup(max_local_cpu_size=FEW_GIB)
    with place.engines.start(setup) as engine, place.silence():
        engine.generate(*REQUESTS)
        return engine.seen()


def host_memory_that_is_left_too_fast(place):
    setup = place.setup(max_local_cpu_size=FEW_GIB, write_policy="write_back")
    with place.engines.start(setup) as engine, place.silence():
        engine.generate(*REQUESTS)
        return engine.seen()


def quotas_of_the_store(place):
    """The first is less than one chunk; of the second, chunks give way to others."""
    seen = set()
    for chunks, metric in ((0.5, "refused"), (1.5, "evicted")):
        file = place.folder.with_suffix(".yaml")
        gib = chunks * CHUNK_BYTES / 2**30
        file.write_text(f"remote: {{tenants: {{none: {gib}}}}}")
        with place.engines.start(place.setup(quotas_file=str(file))) as engine:
            deadline_s = time.monotonic() + DEADLINE_S
            while f"remote_quota_{metric}_entries" not in engine.seen():
                assert time.monotonic() < deadline_s, f"nothing {metric}"
                engine.generate(new_request())
            seen |= engine.seen()
    return seen


def quotas_of_host_memory(place):
    """A tenant fills host memory, then others come, who may hold two chunks of six."""
    file = place.folder.with_suffix(".yaml")
    file.write_text(f"host: {{tenants: {{none: {2 * CHUNK_BYTES / 2**30}}}}}")
    setup = place.setup(max_local_cpu_size=6 * CHUNK_BYTES / 2**30, quotas_file=str(file))
    with place.engines.start(setup) as engine:
        for _ in range(3):
            engine.generate(replace(new_request(), cache_salt="a tenant"))
        deadline_s = time.monotonic() + DEADLINE_S
        while not {"share_evicted_chunks", "quota_evicted_chunks"} <= engine.seen():
            assert time.monotonic() < deadline_s, "no tenant gave way"
            engine.generate(new_request())
        with place.silence():  # a chunk is in use until it is put
            engine.generate(new_request(), new_request())
        return engine.seen()


def new_request():
    """A prompt that no store holds."""
    return Request(prompt(200, seed=time.monotonic_ns()))


SCENARIOS = [
    tiers_that_serve,
    requests_that_wait,
    damaged_entries,
    compressed_chunks,
    passages_of_another_process,
    a_store_slower_than_computing,
    host_memory_slower_than_computing,
    a_silent_store,
    late_answers_and_full_host_memory,
    host_memory_that_is_left_too_fast,
    quotas_of_the_store,
    quotas_of_host_memory,
]


def test_each_is_counted(v1_engines, model, plain, server, entries, tmp_path):
    place = Place(v1_engines, model, plain, server, entries, tmp_path / "chunks")
    counted = set()
    for scenario in SCENARIOS:
        entries.clear()
        counted |= scenario(place)
    assert {*COUNTERS, *DURATIONS, *GAUGES, *TENANT_GAUGES} - counted == set()
