"""One engine as routers see it: our scheduler over made-up steps, and vLLM's own publisher.

What a worker would report (copies, puts, refusals, evictions) is made up; keys, plans, index, events,
block hashes and the wire are the real ones.
"""

from __future__ import annotations

import time
from collections import Counter

from vllm.distributed.kv_events import AllBlocksCleared, KVEventBatch, ZmqEventPublisher

from kvtransfer.chunks.groups import Groups
from kvtransfer.chunks.keys import KeyChain, namespace, tenant_of_salt
from kvtransfer.chunks.tiling import Tiling
from kvtransfer.connector.vllm.router_events.block_names import VllmBlockNames
from kvtransfer.connector.vllm.router_events.translated import as_vllm
from kvtransfer.plan import Report
from kvtransfer.requests.keys.weights import weights_name
from kvtransfer.requests.router_events.dialects import places
from kvtransfer.requests.router_events.event import Stored
from kvtransfer.requests.router_events.router_events import RouterEvents
from tests.connector.vllm.router_events.vllm_requests import BLOCK, device_events, vllm_request
from tests.requests.engine import Engine, RequestKeys

CHUNK = 256
SLOTS = 4
TTL_S = 600.0
POOL = "our-redis"
_FILLER = 1 << 20


class _Keys(RequestKeys):
    def chain(self, request, weights):
        facts = {"weights": weights, "lora": getattr(request.lora_request, "lora_name", None)}
        tenant = tenant_of_salt(request.cache_salt)
        return KeyChain(CHUNK, namespace=namespace(facts), tenant=tenant)


class _Publisher(ZmqEventPublisher):
    """Binds where it is told to; vLLM's own binds to all interfaces or connects."""

    @staticmethod
    def _is_bind_endpoint(endpoint):
        return True


class Worker(Engine):
    """An engine with ``SLOTS`` chunks of host memory, which tells routers of ``dialect``.

    Args:
        dialect: a value of ``kv_events``.
        port: where it publishes, on the loopback.
        topic: of its events.
    """

    def __init__(self, dialect, port, topic):
        self._places = places(dialect, POOL)

        def opened(clock):
            names = VllmBlockNames(BLOCK, BLOCK, CHUNK)
            return RouterEvents(names, self._places, TTL_S, clock)

        self.port = port
        """Where it publishes."""
        self._told = {}
        """The first token of each block that routers know, by place and hash."""
        self._publisher = _Publisher(0, f"tcp://127.0.0.1:{port}", topic=topic)
        self._count = 0
        self._fillers = _FILLER
        super().__init__(
            slots=SLOTS,
            request_keys=_Keys,
            groups=Groups((Tiling(CHUNK, BLOCK),)),
            router_events=opened,
        )

    def request(self, name, tokens, **more):
        request = vllm_request(name, tokens, **more)
        self.side.track(request)
        return request

    def blocks(self, tokens):
        count = -(-tokens // BLOCK)
        self.next_block += count
        return list(range(self.next_block - count, self.next_block))

    def serve(self, tokens, disk=True, remote=True, **more):
        """A request is computed and saved; its chunks are put where that is not refused."""
        request = self._admitted(tokens, **more)
        ids = self.blocks(len(tokens))
        self.side.admit(request, (ids,), 0)
        plan = self.step(new=[(request, ids, 0, len(tokens))])
        jobs = {save.job: 1 for save in plan.jobs.saves}
        refused = [name for name, takes in (("disk", disk), ("remote", remote)) if not takes]
        absent = {(tier, save.key) for save in plan.jobs.saves for tier in refused}
        self.side.take(Report(copied=dict(jobs), stored=dict(jobs), absent=absent))
        self.side.finish(request, owns_blocks=True)

    def evict(self):
        """Other requests need all of host memory; no store takes theirs."""
        tokens = range(self._fillers, self._fillers + SLOTS * CHUNK)
        self._fillers += len(tokens)
        self.serve(tokens, disk=False, remote=False)

    def lose_from_disk(self, tokens):
        """The folder is full, and this process evicts the chunks of ``tokens``."""
        request, held = vllm_request("lost", tokens), weights_name((self.weights,))
        keys = self.request_keys.chain(request, held).extend(tokens)
        self.side.take(Report(absent={("disk", key) for key in keys}))

    def ask_for(self, tokens):
        """A request comes for what the store, which has nothing, has told us it took."""
        self.now_s += 1.0
        request = self._admitted(tokens)
        self.side.admit(request, (self.blocks(len(tokens)),), 0)
        self.side.finish(request, owns_blocks=False)

    def outlive(self):
        """The time to live of all entries passes."""
        self.now_s += TTL_S

    def change_weights(self):
        """The workers hold other weights from now on."""
        self.weights = f"{self.weights}, then others"
        self.side.reset()
        self.step()

    def empty_device(self):
        """vLLM empties its own prefix cache, says so, and tells our scheduler."""
        self._publish([AllBlocksCleared()])
        self.side.note_local_reset()
        self.step()  # in which the worker is asked for its weights

    def compute_on_device(self, tokens):
        """vLLM itself has the blocks of ``tokens``, and says so."""
        request = vllm_request("device", tokens)
        self._publish(device_events(request, len(tokens) // BLOCK))

    def publish(self):
        """Send what is new."""
        events = self.side.take_router_events()
        for event in events:
            self._note(event)
        self._publish([as_vllm(event, 0) for event in events])

    def told(self, tokens):
        """How many of ``tokens``, which no other prompt has, routers know, by tier."""
        places = Counter(place for (place, _), token in self._told.items() if token in tokens)
        return {tier: BLOCK * places[place] for tier, place in self._places.items()}

    def close(self):
        self._publisher.shutdown()
        self.side.close()

    def _note(self, event):
        if not isinstance(event, Stored):
            for block in event.hashes:
                del self._told[event.place, block]
            return
        for block, token in zip(event.blocks.hashes, event.blocks.token_ids[::BLOCK], strict=True):
            self._told[event.place, block] = token

    def _admitted(self, tokens, **more):
        self._count += 1
        request = self.request(f"r{self._count}", tokens, **more)
        assert not self.match(request, 0)
        return request

    def _publish(self, events):
        if events:
            self._publisher.publish(KVEventBatch(ts=time.time(), events=events))
