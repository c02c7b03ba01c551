"""Runs obstore, the client of object stores: ``python -m kvtransfer.client_programs.objects``.

It reserves memory by lengths that a server announces, and where there is none, Rust ends the
process.
"""
