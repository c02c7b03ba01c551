"""A small HTTP server for tests: ``python http_child.py PORT NAME SECONDS``.

It answers ``/health``, ``/metrics`` like vLLM, and each completion with its name, after SECONDS.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

PORT, NAME, SECONDS = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
LOCK = Lock()
RUNNING, ANSWERED = [0], [0]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(self.metrics() if self.path == "/metrics" else b"{}")

    def metrics(self):
        lines = (
            "# TYPE vllm:num_requests_running gauge",
            f"vllm:num_requests_running {RUNNING[0]}",
            "# TYPE vllm:external_prefix_cache_hits counter",
            f"vllm:external_prefix_cache_hits_total {2 * ANSWERED[0]}",
        )
        return "\n".join((*lines, "")).encode()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.count(RUNNING, 1)
        time.sleep(SECONDS)
        self.count(RUNNING, -1)
        self.count(ANSWERED, 1)
        usage = {
            "prompt_tokens": len(asked["prompt"]),
            "completion_tokens": 1,
            "total_tokens": len(asked["prompt"]) + 1,
            "prompt_tokens_details": {"cached_tokens": 2},
        }
        choice = {"index": 0, "text": f" {NAME}", "finish_reason": "stop"}
        said = {"id": "1", "object": "text_completion", "choices": [choice], "usage": usage}
        self.reply(json.dumps(said).encode())

    def count(self, counter, change):
        with LOCK:
            counter[0] += change

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
