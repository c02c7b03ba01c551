"""Whole blocks between paged caches and contiguous chunks; knows tensors and nothing else."""

if __name__ == "kernels":
    # The repository's root is on sys.path, and somebody looks for another package of that name.
    # transformers does, whenever it is imported: not finding a version, it goes on without.
    def __getattr__(name: str) -> None:
        raise AttributeError(f"import kvtransfer.kernels; a bare `kernels` has no {name}")

else:
    from .block_copy import BlockCopy, open_copy

    __all__ = ["BlockCopy", "open_copy"]
