"""What happens to a context, and what each router is to credit it with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vllm.lora.request import LoRARequest

from benchmarks.router_credits.worker import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.router_credits.worker import Worker

    Story = Callable[[Worker, Sequence[int]], None]

# What a router's own settings make of a token in each place, by default.
VLLM_ROUTER = {"device": 1.0, "host": 0.8, "disk": 0.3, "pool": 0.6}
DYNAMO = {"device": 1.0, "host": 0.75, "disk": 0.25, "pool": 0.0}


@dataclass(frozen=True)
class Case:
    """One context of some chunks, fresh for the case."""

    name: str
    chunks: int
    happen: Story
    """Does it to the worker that is to have the context, of these tokens."""
    best: Mapping[str, tuple[str, ...]]
    """For each router, the place that each chunk is credited by; fewer: the rest is computed."""
    goes_to: str = "own"
    """Which worker is to get the request: its ``own``, ``any``, or ``both`` one of two requests."""

    def credit(self, router: str) -> int:
        """The tokens that ``router``, of its dialect's name, is to credit."""
        worth = VLLM_ROUTER if router == "vllm-router" else DYNAMO
        return int(sum(CHUNK * worth[place] for place in self.best[router]))


def _only_pool(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, disk=False)
    own.publish()
    own.evict()


def _only_disk(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, remote=False)
    own.publish()
    own.evict()


def _nowhere(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, disk=False, remote=False)
    own.publish()
    own.evict()


def _evicted_from_disk(own: Worker, tokens: Sequence[int]) -> None:
    _only_disk(own, tokens)
    own.publish()
    own.lose_from_disk(tokens)


def _expired(own: Worker, tokens: Sequence[int]) -> None:
    _only_pool(own, tokens)
    own.publish()
    own.outlive()


def _lost(own: Worker, tokens: Sequence[int]) -> None:
    _only_pool(own, tokens)
    own.publish()
    own.ask_for(tokens)


def _behind_device(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, disk=False, remote=False)
    own.compute_on_device(tokens[:CHUNK])


def _reweighted(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens)
    own.publish()
    own.change_weights()


def _cleared(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens)
    own.publish()
    own.empty_device()


def _adapted(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, lora_request=LoRARequest("style", 1, "/nowhere"))


def _computed(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens)


def _only_host(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, disk=False, remote=False)


def _salted(own: Worker, tokens: Sequence[int]) -> None:
    own.serve(tokens, cache_salt="a")


def _case(name: str, happen: Story, *best: str, dynamo=None, goes_to="own") -> Case:
    """A case; ``dynamo`` names the places where Dynamo credits other ones."""
    places = {"vllm-router": best, "dynamo": best if dynamo is None else dynamo}
    return Case(name, max(1, len(best)), happen, places, goes_to)


CASES = (
    _case("in host memory only", _only_host, "host"),
    _case("in host memory, on disk and in the pool", _computed, "host"),
    _case("two chunks in host memory", _computed, "host", "host"),
    _case("a chunk on the device, the next in host memory", _behind_device, "device", "host"),
    _case("in host memory, vLLM's own cache emptied", _cleared, "host"),
    _case("on disk only", _only_disk, "disk"),
    _case("in the pool only", _only_pool, "pool", dynamo=()),
    _case("in the pool, asked of an engine that did not put it", _only_pool, goes_to="both"),
    _case("evicted from host memory", _nowhere, goes_to="any"),
    _case("evicted from disk", _evicted_from_disk, goes_to="any"),
    _case("in the pool, its time over", _expired, goes_to="any"),
    _case("in the pool, then missed by a lookup", _lost, goes_to="any"),
    _case("computed with a cache_salt", _salted, goes_to="any"),
    _case("computed with an adapter, asked for without", _adapted, goes_to="any"),
    _case("computed by earlier weights", _reweighted, goes_to="any"),
)
