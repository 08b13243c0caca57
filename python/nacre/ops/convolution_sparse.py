"""Gradients of convolutions from gradients of their outputs that are nearly all zero (`passes/sparse.py`)."""

from __future__ import annotations

from typing import Any

from nacre.core.op import Op
from nacre.core.spec import Spec
from nacre.ops.convolution import Conv2D, Pairs
from nacre.ops.convolution_kernels import conv_fields


class Conv2DSparseGradX(Op):
    """Conv2DGradX of weights with their outputs in front, w (O, KH, KW, C): zeros of dy cost nothing."""

    strides: tuple[int, int]
    padding: Pairs
    dilation: tuple[int, int]
    size: tuple[int, int]

    outputs = ("dx",)

    def infer(self, dy: Spec, w: Spec) -> Spec:
        return Spec((dy.shape[0], *self.size, w.shape[3]), dy.dtype)

    def lower(self, k: Any, dy: Any, w: Any, dx: Any) -> None:
        k.conv2d_sparse_grad_x(_fields(self, dx, w, dy), dy, w, dx)


class Conv2DSparseGradW(Op):
    """Conv2DGradW with the outputs in front, dw (O, KH, KW, C): zeros of dy cost nothing."""

    strides: tuple[int, int]
    padding: Pairs
    dilation: tuple[int, int]
    window: tuple[int, int]

    outputs = ("dw",)

    def infer(self, x: Spec, dy: Spec) -> Spec:
        return Spec((dy.shape[3], *self.window, x.shape[3]), x.dtype)

    def lower(self, k: Any, x: Any, dy: Any, dw: Any) -> None:
        k.conv2d_sparse_grad_w(_fields(self, x, dw, dy), x, dy, dw)


def _fields(op: Any, x: Any, w: Any, y: Any) -> dict[str, int]:
    dense = Conv2D(op.strides, op.padding, op.dilation)
    return {**conv_fields(dense, x.shape, (*w.shape[1:], w.shape[0]), y.shape)[1]}


__all__ = ["Conv2DSparseGradW", "Conv2DSparseGradX"]
