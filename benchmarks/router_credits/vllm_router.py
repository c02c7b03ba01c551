"""The real vllm-router between two workers that answer everything and compute nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Thread

from kvtransfer.stores.embedded.address import free_port

MODEL = "m"
DEADLINE_S = 120.0
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_DECISION = re.compile(r'KV prefix decision .*worker="(\S+)".* credited_prefix_tokens=(\d+)')


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        models = {"object": "list", "data": [{"id": MODEL, "object": "model", "root": MODEL}]}
        known = {"/v1/models": models, "/version": {"version": "0.32.0"}}
        self._say(known.get(self.path, {}))

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        choice = {"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        getattr(self.server, "before_answer", lambda: None)()
        said = {"id": "x", "object": "text_completion", "created": 0}
        self._say({**said, "model": MODEL, "choices": [choice], "usage": usage})

    def _say(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class VllmRouter:
    """Owns the router's process and both workers; ``close`` ends them.

    Args:
        folder: for its log.
        event_ports: where each worker publishes its events.
        block_tokens: tokens of a block.
    """

    name = "vllm-router"
    dialect = "vllm-router"
    topic = ""

    def __init__(self, folder, event_ports, block_tokens):
        self.event_ports = event_ports
        self._log = Path(folder) / "vllm-router.log"
        self._workers = [ThreadingHTTPServer(("127.0.0.1", 0), _Answers) for _ in event_ports]
        for worker in self._workers:
            Thread(target=worker.serve_forever, daemon=True).start()
        self._urls = [f"http://127.0.0.1:{worker.server_port}" for worker in self._workers]
        self._port = free_port()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(event_ports, block_tokens),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "RUST_LOG": "vllm_router_rs=trace"},
            )

    def route(self, tokens):
        """Send a request; returns the number of the worker that got it, and its credited tokens."""
        before = self._log.stat().st_size
        self._send(tokens)
        return self._decisions(before, 1)[0]

    def route_together(self, tokens):
        """Send the same request twice, so that both are under way at once; as ``route`` for each."""
        before = self._log.stat().st_size
        both = Barrier(2, timeout=DEADLINE_S)
        for worker in self._workers:
            worker.before_answer = both.wait
        with ThreadPoolExecutor(2) as senders:
            list(senders.map(self._send, [tokens, tokens]))
        for worker in self._workers:
            del worker.before_answer
        return self._decisions(before, 2)

    def is_ready(self):
        """Whether it answers; raises if it has ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"vllm-router has ended:\n{self._log.read_text()[-2000:]}")
        try:
            self.route(range(64))
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    def close(self):
        self._process.terminate()
        self._process.wait(DEADLINE_S)
        for worker in self._workers:
            worker.shutdown()
            worker.server_close()

    def _send(self, tokens):
        body = json.dumps({"model": MODEL, "prompt": list(tokens), "max_tokens": 1}).encode()
        url = f"http://127.0.0.1:{self._port}/v1/completions"
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
            answer.read()

    def _decisions(self, before, count):
        """What the log, from byte ``before`` on, says of ``count`` requests; it may come later."""
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            with self._log.open("rb") as log:
                log.seek(before)
                text = _COLOURS.sub("", log.read().decode(errors="replace"))
            if len(found := _DECISION.findall(text)) >= count:
                return [(self._urls.index(url), int(credit)) for url, credit in found]
            time.sleep(0.01)
        raise TimeoutError(f"vllm-router has logged no decision:\n{text[-2000:]}")

    def _command(self, event_ports, block_tokens):
        beside = Path(sys.executable).with_name("vllm-router")
        command = [
            str(beside) if beside.exists() else shutil.which("vllm-router") or "vllm-router",
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--prometheus-port", str(free_port()), "--policy", "kv_aware"),
            *("--worker-urls", *self._urls, "--kv-event-block-size", str(block_tokens)),
            *("--kv-event-model", MODEL, "--log-level", "debug"),
        ]
        for url, port in zip(self._urls, event_ports, strict=True):
            command += ["--kv-event-source", f"{url}=tcp://127.0.0.1:{port}"]
        return command
