"""A Triton backend "cpu" that compiles nothing: with ``TRITON_INTERPRET=1`` nothing need be.

vLLM's Model Runner V2 wants Triton and, in a build for CPUs, a backend of this name. With the
folder above on ``PYTHONPATH``, Triton finds this one by its entry point, in every process.
"""
