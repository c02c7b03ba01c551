"""Whole blocks between paged caches and contiguous chunks; knows tensors and nothing else."""

if __name__ == "kernels":  # the repository's root is on sys.path
    raise ImportError("import kvtransfer.kernels; a bare `kernels` is another package's name")

from .host_copy import gather_blocks, scatter_blocks

__all__ = ["gather_blocks", "scatter_blocks"]
