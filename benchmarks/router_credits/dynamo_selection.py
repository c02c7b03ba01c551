"""Dynamo's selection service, in this process, for two workers."""

from __future__ import annotations

import asyncio
import itertools

MODEL = "m"


class DynamoSelection:
    """Owns the service; see ``VllmRouter``."""

    name = "Dynamo SelectionService"
    dialect = "dynamo"
    topic = "kv-events"

    def __init__(self, folder, event_ports, block_tokens):
        self.event_ports = event_ports
        from dynamo._core import SelectionService

        del folder
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._service = self._run(SelectionService)
        for number, port in enumerate(event_ports):
            worker = {
                "worker_id": number,
                "model_name": MODEL,
                "block_size": block_tokens,
                "endpoint": f"http://127.0.0.1:{port}",
                "kv_events_endpoint": f"tcp://127.0.0.1:{port}",
                "total_kv_blocks": 100_000,
                "max_num_batched_tokens": 8192,
            }
            self._run(self._service.upsert_worker, worker)

    def route(self, tokens):
        request = {
            "model_name": MODEL,
            "token_ids": list(tokens),
            "selection_id": f"s{next(self._numbers)}",
        }
        answer = self._run(self._service.select, request)
        return answer["worker_id"], len(tokens) - answer["effective_prefill_tokens"]

    def route_together(self, tokens):
        return [self.route(tokens), self.route(tokens)]

    def is_ready(self):
        return True

    def close(self):
        self._run(self._service.shutdown)
        self._loop.close()

    def _run(self, call, *arguments):
        """What ``call`` returns within the event loop, where all of the service has to be called."""

        async def called():
            answer = call(*arguments)
            return await answer if asyncio.isfuture(answer) else answer

        return self._loop.run_until_complete(called())
