"""Programs that run clients of other makers' stores, each in a process of its own.

Such a client may hold Python's lock while it waits for a dead server, write into memory after its
caller has given up, or take its process down, for want of memory or otherwise.
``kvtransfer.stores.client_process`` starts these programs and gives them shared memory. They import
nothing else of this package, so they start fast.
"""
