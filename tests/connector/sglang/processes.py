"""Storages as SGLang makes them, one for each of its processes."""

from __future__ import annotations

from sglang.srt.mem_cache.hicache_storage import HiCacheStorageConfig

from kvtransfer.connector.sglang.storage import KVTransferStorage

FACTORY = {
    "backend_name": "kvtransfer",
    "module_path": "kvtransfer.connector.sglang.storage",
    "class_name": "KVTransferStorage",
    "interface_v1": 1,
}


def storage_config(extra, *, tp=(0, 1), pp=(0, 1), cp=(0, 1), mla=False, **fields):
    return HiCacheStorageConfig(
        tp_rank=tp[0],
        tp_size=tp[1],
        pp_rank=pp[0],
        pp_size=pp[1],
        attn_cp_rank=cp[0],
        attn_cp_size=cp[1],
        is_mla_model=mla,
        enable_storage_metrics=False,
        is_page_first_layout=True,
        **{"model_name": "tiny/model", "extra_config": {**FACTORY, **extra}, **fields},
    )


class Processes:
    """Owns the storages that it starts."""

    def __init__(self, url):
        self._extra = {"remote_url": url, "weights_name": "w1"}
        self._started = []

    def start(self, pool, extra=None, **config):
        """The storage of a process whose main host pool is ``pool``, attached as SGLang does it."""
        storage = KVTransferStorage(storage_config({**self._extra, **(extra or {})}, **config), {})
        self._started.append(storage)
        storage.register_mem_pool_host(pool)
        storage.on_host_pools_registered()
        return storage

    def close(self):
        for storage in self._started:
            storage.close()
