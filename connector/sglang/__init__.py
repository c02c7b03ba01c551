"""Connects SGLang's hierarchical cache (HiCache) to kvtransfer; no other package imports sglang.

SGLang loads :class:`kvtransfer.connector.sglang.storage.KVTransferStorage` by that path.
"""
