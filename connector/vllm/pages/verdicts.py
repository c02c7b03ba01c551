"""Lists vLLM's cache dtypes and attention backends: how each fills a page, or why it is refused.

A test compares both tables with the source of each supported vLLM, so a new name needs a verdict
before it can be served.

Scales of a whole layer (``fp8``) lie beside the pages, in the layer's buffers. The fingerprint of
the weights covers those, and no supported vLLM computes them at run time.
"""

from __future__ import annotations

from enum import Enum


class Packing(Enum):
    """How far the bytes of a page explain themselves."""

    ELEMENTS = "elements"
    """All that a token and head have lies together and is read alike by every engine."""
    STATES = "states"
    """A block holds the states of a layer, one after the other, in shapes that the layer tells."""
    PACKED = "packed"
    """What a byte means depends on its place in the page, the kernels or the GPU.
    Keys must then cover those, as ``page_facts`` tells them."""


_ELEMENTS, _STATES, _PACKED = Packing
_NVIDIA_ONLY = "chunks are copied on NVIDIA GPUs and CPUs only"

DTYPES = {
    "auto": _ELEMENTS,
    "float16": _ELEMENTS,
    "bfloat16": _ELEMENTS,
    "fp8": _ELEMENTS,
    "fp8_e4m3": _ELEMENTS,
    "fp8_e5m2": _ELEMENTS,
    # The latent of a token, its scales and its rope part are one record of 656 or 352 bytes.
    "fp8_ds_mla": _ELEMENTS,
    "nvfp4_ds_mla": _ELEMENTS,
    # Each head's key and value end with their scale. Signs of rotations are constants in vLLM.
    "int4_per_token_head": _ELEMENTS,
    "int8_per_token_head": _ELEMENTS,
    "fp8_per_token_head": _ELEMENTS,
    # A page holds the 4-bit values of all tokens, and then their scales.
    "nvfp4": _PACKED,
    "nvfp4_4over6": _PACKED,
    # k8v4 has another fp8 before compute capability 8.9; FlyDSL keeps scales apart from codes.
    "turboquant_k8v4": _PACKED,
    "turboquant_4bit_nc": _PACKED,
    "turboquant_k3v4_nc": _PACKED,
    "turboquant_3bit_nc": _PACKED,
    "ultraquant_4bit": _PACKED,
}
"""The values of ``--kv-cache-dtype`` that are served."""

REFUSED_DTYPES = {
    "fp8_inc": "none of vLLM's own attention backends stores it, so what its pages hold is unknown",
    "octave_k3v4": _NVIDIA_ONLY,
    "octave_k3v3": _NVIDIA_ONLY,
    "octave_k3v3_compact": _NVIDIA_ONLY,
}
"""The values of ``--kv-cache-dtype`` that are refused, each with its reason."""

BACKENDS = {
    "FLASH_ATTN": _ELEMENTS,
    "FLASH_ATTN_DIFFKV": _ELEMENTS,
    "TRITON_ATTN": _ELEMENTS,
    "TRITON_ATTN_DIFFKV": _ELEMENTS,
    "TRITON_FLASH_ATTN": _ELEMENTS,
    "FLASHINFER": _ELEMENTS,
    "TRITON_FLASHINFER": _ELEMENTS,
    "FLEX_ATTENTION": _ELEMENTS,
    "B12X": _ELEMENTS,
    "HPC_ATTN": _ELEMENTS,
    "CPU_ATTN": _ELEMENTS,  # how it packs is checked where its caches are registered
    "TURBOQUANT": _PACKED,
    "ULTRAQUANT": _PACKED,
    # Multi-head latent attention.
    "TRITON_MLA": _ELEMENTS,
    "CUTLASS_MLA": _ELEMENTS,
    "FLASHMLA": _ELEMENTS,
    "FLASH_ATTN_MLA": _ELEMENTS,
    "FLASHINFER_MLA": _ELEMENTS,
    "TOKENSPEED_MLA": _ELEMENTS,
    "AMX_MLA": _ELEMENTS,
    # The same over chosen tokens.
    "FLASHMLA_SPARSE": _ELEMENTS,
    "FLASHINFER_MLA_SPARSE": _ELEMENTS,
    "FLASHINFER_MLA_SPARSE_SM120": _ELEMENTS,
    "FLASHINFER_MLA_SPARSE_SM90": _ELEMENTS,
    "FLASH_ATTN_MLA_SPARSE": _ELEMENTS,
    "FLASH_ATTN_MLA_SPARSE_FA4": _ELEMENTS,
    # DeepSeek V4 and V4.1: a page holds the records of all tokens, and then their scales.
    "FLASHMLA_SPARSE_DSV4": _PACKED,
    "FLASHINFER_MLA_SPARSE_DSV4": _PACKED,
    "FLASHMLA_SPARSE_DSV41": _PACKED,
    "FLASHINFER_MLA_SPARSE_DSV41": _PACKED,
    "FLASHMLA_MEGA_ATTN_DSV41": _PACKED,
    # MiniMax M3 and Step 5, each with kernels of its own.
    "MINIMAX_M3_SPARSE": _PACKED,
    "CUTLASS_MSA": _PACKED,
    "TRITON_MSA": _PACKED,
    "STEP5_DSA": _PACKED,
    # Recurrent layers.
    "MAMBA1": _STATES,
    "MAMBA2": _STATES,
    "SHORT_CONV": _STATES,
    "LINEAR": _STATES,
    "GDN_ATTN": _STATES,
}
"""The attention backends that are served, by their names in vLLM's two registries."""

REFUSED_BACKENDS = {
    "ROCM_ATTN": _NVIDIA_ONLY,
    "ROCM_SEGMENTED_ATTN": _NVIDIA_ONLY,
    "ROCM_AITER_FA": _NVIDIA_ONLY,
    "ROCM_AITER_UNIFIED_ATTN": _NVIDIA_ONLY,
    "ROCM_AITER_MLA": _NVIDIA_ONLY,
    "ROCM_AITER_TRITON_MLA": _NVIDIA_ONLY,
    "ROCM_AITER_MLA_SPARSE": _NVIDIA_ONLY,
    "ROCM_FLASHMLA_SPARSE_DSV4": _NVIDIA_ONLY,
    "ROCM_FLASHMLA_SPARSE_DSV41": _NVIDIA_ONLY,
    "ROCM_OCTAVE": _NVIDIA_ONLY,
    "XPU_MLA_SPARSE": _NVIDIA_ONLY,
    "CPU_MLA": "over a restored prefix it answers otherwise, so vLLM turns its own reuse off",
    "TORCH_SDPA": "it is for the encoders of images and has no pages",
    "NO_ATTENTION": "it has no pages",
    "CUSTOM": "it isn't vLLM's own, so what its pages hold is unknown",
}
"""The attention backends that are refused, each with its reason."""
