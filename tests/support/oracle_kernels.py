"""CUDA's choices on fake tensors of the CPU: which operators a GPU would run, and what their kernels take.

The autograd engine of a machine without a GPU refuses even fake CUDA tensors, so tensors say CPU and these say CUDA.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
import torch
import torch.nn
import transformers.masking_utils
import trl.kernels.chunked_logprob
import trl.trainer.utils

FLASH_ROWS: Final = 128
"""Flash attention's backward pass rounds the length up to this."""

_aten = torch.ops.aten


@contextmanager
def cuda_kernels(*, padded: bool) -> Iterator[None]:
    """Run what CUDA would run.

    Args:
        padded: rows of different lengths lie side by side: what the attention mask would say, had it values.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", _attention)
        patch.setattr(torch.nn.functional, "dropout", _dropout)
        patch.setattr(transformers.masking_utils, "is_tracing", lambda *_: False)
        patch.setattr(transformers.masking_utils, "fast_all", lambda _: not padded)
        for module in (trl.kernels.chunked_logprob, trl.trainer.utils):
            patch.setattr(module, "_use_triton", lambda _: True)
        patch.setattr(trl.kernels.chunked_logprob, "_forward_kernel", _InPlace())
        patch.setattr(trl.kernels.chunked_logprob, "_backward_kernel", _InPlace())
        # cuBLAS multiplies 16-bit matrices into a 32-bit one without a copy
        patch.setattr(trl.kernels.chunked_logprob, "_addmm_fp32", lambda *_: None)
        yield


def workspace(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes that a CUDA kernel allocates and frees within one operator, by the kernels' own sources."""
    if func is _aten._scaled_dot_product_flash_attention_backward.default:
        return _flash_workspace(args[1], args[2])
    if func is _aten._scaled_dot_product_efficient_attention_backward.default:
        batch, heads, length, width = args[1].shape
        # 32-bit gradient of the queries, and the row sums
        return int(4 * batch * heads * length * (width + 1))
    if func is torch.ops.bitsandbytes.gemm_4bit.default:
        rows, columns = args[2]
        # past some 1500 rows the weight is unpacked to 16 bits, and its scales to 32, one for each 64 weights
        return int(rows * columns * 2 + rows * columns // 64 * 4)
    return 0


def _flash_workspace(query: torch.Tensor, key: torch.Tensor) -> int:
    batch, heads, length, width = query.shape
    rounded = -(-length // FLASH_ROWS) * FLASH_ROWS
    taken = 4 * batch * heads * rounded * (width + 1)
    if key.shape[1] != heads:
        # gradients of keys and values for every query head, before they are summed
        taken += 2 * query.element_size() * batch * heads * length * width
    return taken


class _InPlace:
    """A Triton kernel: launched with a grid, works in the buffers that it is given."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *_, **__: None


def _attention(  # noqa: PLR0917  torch's own signature
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,  # noqa: FBT001, FBT002
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: FBT001, FBT002
) -> Any:
    """CUDA's order of preference: flash attention, and where there is a mask the memory-efficient one."""
    if attn_mask is None:
        return _aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
    assert not enable_gqa, "CUDA has no fused attention with grouped heads and a mask"
    if attn_mask.dtype is torch.bool:
        attn_mask = torch.zeros(attn_mask.shape, dtype=query.dtype).masked_fill_(~attn_mask, float("-inf"))
    bias = attn_mask.expand(*query.shape[:3], key.shape[2])
    return _aten._scaled_dot_product_efficient_attention(
        query, key, value, bias, compute_log_sumexp=True, dropout_p=dropout_p, is_causal=is_causal, scale=scale
    )[0]


def _dropout(
    values: torch.Tensor,
    p: float = 0.5,
    training: bool = True,  # noqa: FBT001, FBT002
    inplace: bool = False,  # noqa: FBT001, FBT002
) -> torch.Tensor:
    """CUDA's dropout keeps a mask of bytes."""
    del inplace
    return torch.native_dropout(values, p, train=True)[0] if training and p > 0 else values
