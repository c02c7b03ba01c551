"""A small HTTP server for tests: ``python http_child.py PORT NAME SECONDS``.

It answers ``/health``, ``/metrics`` with the number of requests that it answers, and each completion
with its name, after SECONDS.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

PORT, NAME, SECONDS = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
LOCK = Lock()
RUNNING = [0]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"# TYPE running gauge\nrunning {RUNNING[0]}\n" if self.path == "/metrics" else "{}"
        self.reply(text.encode())

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.count(1)
        time.sleep(SECONDS)
        self.count(-1)
        usage = {
            "prompt_tokens": len(asked["prompt"]),
            "completion_tokens": 1,
            "total_tokens": len(asked["prompt"]) + 1,
            "prompt_tokens_details": {"cached_tokens": 2},
        }
        choice = {"index": 0, "text": f" {NAME}", "finish_reason": "stop"}
        said = {"id": "1", "object": "text_completion", "choices": [choice], "usage": usage}
        self.reply(json.dumps(said).encode())

    def count(self, change):
        with LOCK:
            RUNNING[0] += change

    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
