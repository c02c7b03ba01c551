"""Two ``vllm serve`` of one model runner each, on one store, watched as an operator watches them."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai

from demo.fleet.child import free_port
from demo.fleet.prometheus import START_S, Prometheus
from kvtransfer.stores.embedded.server import EmbeddedServer
from tests.connector.conversation import PATIENT
from tests.connector.engines import start_together
from tests.connector.entries import Entries
from tests.connector.http_server import HttpServer
from tests.connector.inputs import connected
from tests.connector.span_receiver import SOON, SpanReceiver
from tests.connector.vllm_variants import V1, V2
from tests.stores.redis.servers import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class TwoServers:
    """They are up, and have answered one request, of which nothing is kept."""

    first: HttpServer
    """Traces to a collector that never says a word."""
    second: HttpServer
    """Has the store and a disk, and keeps nothing in host memory."""
    entries: Entries
    prometheus: Prometheus
    spans: SpanReceiver


def two_servers(model: str, folder: Path) -> Iterator[TwoServers]:
    """Start them and what watches them, and end all of it, in good order unless that is over."""
    with (
        EmbeddedServer(64 << 20) as store,
        closing(Entries(store.url)) as entries,
        closing(SpanReceiver()) as spans,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        on_disk = {"local_storage": str(folder / "chunks"), "max_local_storage_size": 0.05}
        never = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quotas = folder / "quotas.yaml"
        quotas.write_text("host: {each_tenant: unlimited}")
        shares = {"quotas_file": str(quotas)}
        to_first = _setup(model, store.url, never, **shares)
        to_second = _setup(model, store.url, spans.endpoint, local_cpu=False, **on_disk, **shares)
        first, second = start_together(
            lambda: HttpServer(to_first, folder / "first.log", V1, SOON),
            lambda: HttpServer(to_second, folder / "second.log", V2, SOON),
        )
        with first, second:
            targets = [first.address, second.address]
            prometheus = Prometheus(targets, free_port(), folder)
            with prometheus.child:
                prometheus.child.wait_until_up(START_S)
                for server in (first, second):
                    asking(server, "hello")  # its first step's report says which weights it has
                # Growth shows from the first scrape on.
                until(lambda: len(prometheus.series("kvtransfer:saved_tokens_total")) == 2, 120)
                yield TwoServers(first, second, entries, prometheus, spans)


def _setup(model: str, url: str, endpoint: str, **settings: Any) -> Any:
    options = {"otlp_traces_endpoint": endpoint}
    patient = {**PATIENT, **settings}
    return connected(model, url, options=options, remote_serde="lossless", **patient)


def chat(server: HttpServer, messages: list[dict[str, str]], max_tokens: int, **more: Any) -> Any:
    """The reply to ``messages``, greedily."""
    with openai.OpenAI(base_url=server.url, api_key="none", timeout=120) as client:
        return client.chat.completions.create(
            model="tiny", messages=messages, temperature=0, max_tokens=max_tokens, **more
        )


def asking(server: HttpServer, words: str, **said: Any) -> dict[str, Any]:
    """What a request that has ``said`` something is told."""
    said_as = {"extra_body": {"kv_transfer_params": {"kvtransfer": said}}}
    return told(chat(server, [{"role": "user", "content": words}], 4, **said_as))


def told(reply: Any) -> dict[str, Any]:
    """What ``reply`` says of how its request was cached."""
    return dict(reply.model_extra["kv_transfer_params"]["kvtransfer"])
