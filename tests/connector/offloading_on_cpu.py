"""vLLM's own offloading where there is no GPU: its spec with a worker that copies by torch."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from vllm.v1.kv_offload.base import OffloadingWorker, TransferResult
from vllm.v1.kv_offload.cpu.shared_offload_region import SharedOffloadRegion
from vllm.v1.kv_offload.tiering.spec import TieringOffloadingSpec


class CopyWorker(OffloadingWorker):
    """Copies when it is told to, in the caller's thread."""

    def __init__(self, caches: Any, region: SharedOffloadRegion) -> None:
        self._pairs = [
            (it.tensor.view(torch.int8), region.create_next_worker_view(it.page_size_bytes))
            for it in caches.tensors
        ]
        self._done: list[TransferResult] = []

    def submit_store(self, job_id: int, src_spec: Any, dst_spec: Any) -> bool:
        for paged, kept in self._pairs:
            kept[_rows(dst_spec)] = paged[_rows(src_spec)]
        return self._end(job_id)

    def submit_load(
        self, job_id: int, src_spec: Any, dst_spec: Any, expedited: bool = False
    ) -> bool:
        for paged, kept in self._pairs:
            paged[_rows(dst_spec)] = kept[_rows(src_spec)]
        return self._end(job_id)

    def get_finished(self) -> list[TransferResult]:
        done, self._done = self._done, []
        return done

    def wait(self, job_ids: Any) -> None:
        """Nothing is under way."""

    def _end(self, job_id: int) -> bool:
        now = time.perf_counter()
        self._done.append(
            TransferResult(
                job_id=job_id,
                success=True,
                transfer_size=1,
                transfer_time=time.perf_counter() - now,
            )
        )
        return True


class OnCpuSpec(TieringOffloadingSpec):
    """See the module."""

    def get_worker(self, kv_caches: Any) -> OffloadingWorker:
        if not self._worker:
            region = SharedOffloadRegion(
                engine_id=self._engine_id,
                num_chunks=self.num_chunks,
                rank=self.config.parallel.rank,
                kv_bytes_per_chunk=self.kv_bytes_per_chunk,
                cpu_page_size=self.cpu_page_size_per_worker,
            )
            self._worker = CopyWorker(kv_caches, region)
        return self._worker


def _rows(spec: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(spec.block_ids).astype(np.int64))
