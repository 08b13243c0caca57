"""Images seen through a change of coordinates: each output place reads its input at a position between the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre.core.op import Op
from nacre.core.spec import Spec, is_float
from nacre.core.tensor import Tensor
from nacre.ops.base import composed, public, scalar, value
from nacre.ops.elementwise import (
    Abs,
    Add,
    Cast,
    Clip,
    Div,
    Floor,
    Ge,
    LogicalAnd,
    Lt,
    Mod,
    Mul,
    Round,
    Select,
    Sub,
    floating,
)
from nacre.ops.fused_rows import by_composition
from nacre.ops.gather import Take
from nacre.ops.image.filters import gaussian_blur
from nacre.ops.image.layout import Batch
from nacre.ops.linalg import Solve
from nacre.ops.movement import Concat, reshaped, slice_axis

_FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


def _whole(place: Any, n: int, mode: str) -> tuple[Any, Any]:
    """Whole positions (int32) brought into an axis of n, and whether they were inside (None: all count)."""
    zero, last = scalar(0, "int32"), scalar(n - 1, "int32")
    if mode == "constant":
        inside = LogicalAnd()(Ge()(place, zero), Lt()(place, scalar(n, "int32")))
        return Clip()(place, zero, last), inside
    if mode == "nearest":
        return Clip()(place, zero, last), None
    if mode == "wrap":
        return Mod()(place, scalar(n, "int32")), None
    if mode == "mirror":  # 2 1 | 0 1 2 | 1 0
        if n == 1:
            return Mul()(place, zero), None
        at = Mod()(Abs()(place), scalar(2 * n - 2, "int32"))
        return Select()(Ge()(at, scalar(n, "int32")), Sub()(scalar(2 * n - 2, "int32"), at), at), None
    at = Mod()(place, scalar(2 * n, "int32"))  # reflect: 1 0 | 0 1 2 | 2 1
    return Select()(Ge()(at, scalar(n, "int32")), Sub()(scalar(2 * n - 1, "int32"), at), at), None


def _sample(
    flat: Any, sizes: tuple[int, ...], places: list[Any], order: int, mode: str, fill: float, start: Any = None
) -> Any:
    """Rows of `flat` (product of sizes, C) at positions `places`, a list of (K,) per axis -> (K, C).

    `start` (K,) says at which row each position's own grid begins, where there are several.
    """
    options: list[list[tuple[Any, Any, Any]]] = []  # per axis: (position, inside, weight)
    for place, n in zip(places, sizes):
        if order == 0:
            at, inside = _whole(Cast("int32")(Round()(place)), n, mode)
            options.append([(at, inside, None)])
            continue
        low = Floor()(place)
        upper = Sub()(place, low)
        first = Cast("int32")(low)
        axis = []
        for shift, weight in ((0, Sub()(scalar(1.0, place.dtype), upper)), (1, upper)):
            at, inside = _whole(Add()(first, scalar(shift, "int32")), n, mode)
            axis.append((at, inside, weight))
        options.append(axis)
    total = None
    number = scalar(fill, flat.dtype)
    for choice in np.ndindex(*(len(o) for o in options)):
        index = inside = weight = None
        for o, i, n in zip(options, choice, sizes):
            at, ok, w = o[i]
            index = at if index is None else Add()(Mul()(index, scalar(n, "int32")), at)
            inside = ok if inside is None else LogicalAnd()(inside, ok)
            if w is not None:
                weight = w if weight is None else Mul()(weight, w)
        part = Take(0)(flat, index if start is None else Add()(index, start))
        count = part.shape[0]
        if inside is not None:
            part = Select()(reshaped(inside, (count, 1)), part, number)
        if weight is not None:
            part = Mul()(part, reshaped(weight, (count, 1)))
        total = part if total is None else Add()(total, part)
    return total


@public
@composed
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: float = 0
) -> Any:
    """`inputs` read at positions between its elements: coordinates (rank, ...) -> (...).

    `order` is 0 (the nearest element) or 1 (linear between neighbours); `fill_mode` says what lies outside: "constant",
    "nearest", "wrap", "mirror" or "reflect".
    """
    given = value(inputs)
    at = floating(coordinates)
    if len(at.shape) < 2:
        raise ValueError(
            "map_coordinates: Invalid coordinates rank: expected at least rank 2. Received input with shape: "
            f"{at.shape}"
        )
    if at.shape[:1] != (len(given.shape),):
        raise ValueError(
            "map_coordinates: First dim of `coordinates` must be the same as the rank of `inputs`. Received inputs "
            f"with shape: {given.shape} and coordinate leading dim of {at.shape[0] if at.shape else None} "
            f"(coordinates.shape={at.shape})"
        )
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: expected order to be 0 or 1, got {order!r}")
    if fill_mode not in _FILL_MODES:
        raise ValueError(f"map_coordinates: expected fill_mode to be one of {list(_FILL_MODES)}, got {fill_mode!r}")
    shape = at.shape[1:]
    count = int(np.prod(shape))
    places = [reshaped(slice_axis(at, 0, i, i + 1), (count,)) for i in range(len(given.shape))]
    x = floating(given)
    y = _sample(reshaped(x, (x.size, 1)), given.shape, places, order, fill_mode, float(fill_value))
    return _rounded(reshaped(y, shape), given.dtype)


def _rounded(y: Any, dtype: str) -> Any:
    if y.dtype == dtype:
        return y
    return Cast(dtype)(y) if is_float(dtype) else Cast(dtype)(Round()(y))


def check_warp(interpolation: str, fill_mode: str, name: str) -> int:
    if interpolation not in ("nearest", "bilinear"):
        raise ValueError(f"{name}: expected interpolation to be 'nearest' or 'bilinear', got {interpolation!r}")
    if fill_mode not in _FILL_MODES:
        raise ValueError(f"{name}: expected fill_mode to be one of {list(_FILL_MODES)}, got {fill_mode!r}")
    return 0 if interpolation == "nearest" else 1


class Sample(Op):
    """Images read at places between their pixels: x (N, H, W, C), rows and columns (N, H', W') -> (N, H', W', C).

    Replaces the composition of `_sample`, bit for bit. float32.
    """

    order: int
    mode: str
    fill: float

    def infer(self, x: Spec, rows: Spec, columns: Spec) -> Spec:
        return Spec((*rows.shape, x.shape[3]), x.dtype)

    def by_rows(self, *inputs: Spec) -> tuple[bool, ...]:
        return True, True, True

    def lower(self, k: Any, x: Any, rows: Any, columns: Any, y: Any) -> None:
        n, h, w, c = x.shape
        places = y.shape[1] * y.shape[2]
        mode = _FILL_MODES.index(self.mode)
        k.sample(dict(N=n, H=h, W=w, C=c, K=places, order=self.order, mode=mode, fill=self.fill), x, rows, columns, y)

    def composed(self, x: Any, rows: Any, columns: Any) -> Any:
        n, h, w, c = x.shape
        count = rows.size
        flat = reshaped(x, (n * h * w, c))
        image = Tensor(np.repeat(np.arange(n, dtype=np.int32) * (h * w), count // n if n else 0))
        places = [reshaped(p, (count,)) for p in (rows, columns)]
        y = _sample(flat, (h, w), places, self.order, self.mode, self.fill, image)
        return reshaped(y, (*rows.shape, c))

    def grad(self, x: Any, rows: Any, columns: Any, dy: Any) -> Any:
        return by_composition(self.composed, (x, rows, columns), (dy,))


def warped(x: Any, rows: Any, columns: Any, order: int, mode: str, fill: float) -> Any:
    """Images (N, H, W, C) read at positions (N, H', W') of their rows and columns."""
    x = floating(x)
    run = Sample(order, mode, fill)
    fits = x.dtype == rows.dtype == columns.dtype == "float32" and x.size and max(x.shape) <= 2**29
    return run(x, rows, columns) if fits else run.composed(x, rows, columns)


def _grid(h: int, w: int, dtype: str) -> tuple[Any, Any]:
    """Row and column numbers of every pixel, (1, H, W) each."""
    rows, columns = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    return Tensor(rows[None].astype(dtype)), Tensor(columns[None].astype(dtype))


def _projected(x: Any, transform: Any) -> tuple[Any, Any]:
    """Where every output pixel (column u, row v) reads: columns (a u + b v + c) / k and rows (d u + e v + f) / k, with
    k = g u + h v + 1, for transforms (N, 8) of a..h."""
    _, h, w, _ = x.shape
    rows, columns = _grid(h, w, transform.dtype)

    def p(i: int) -> Any:
        return reshaped(slice_axis(transform, 1, i, i + 1), (transform.shape[0], 1, 1))

    def line(i: int) -> Any:
        return Add()(Mul()(p(i), columns), Mul()(p(i + 1), rows))

    k = Add()(line(6), scalar(1.0, transform.dtype))
    return Div()(Add()(line(3), p(5)), k), Div()(Add()(line(0), p(2)), k)


def _transforms(transform: Any, count: int, name: str) -> Any:
    t = floating(transform)
    t = reshaped(t, (1, 8)) if t.shape == (8,) else t
    if len(t.shape) != 2 or t.shape[1] != 8 or t.shape[0] not in (1, count):
        raise ValueError(
            f"{name}: Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms), of "
            f"shape (8,) or ({count}, 8). Received input with shape: transform.shape={value(transform).shape}"
        )
    return t if t.shape[0] == count else Take(0)(t, Tensor(np.zeros(count, np.int32)))


@public
@composed
def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: Any = 0,
    data_format: str | None = None,
) -> Any:
    """Images whose pixel (column u, row v) shows the input at ((a u + b v + c) / k, (d u + e v + f) / k), k = g u + h v
    + 1.

    `transform` is (a, b, c, d, e, f, g, h), or one for each image (N, 8). What lies outside is `fill_value`
    ("constant"), or the image continued ("nearest", "wrap", "mirror", "reflect").
    """
    order = check_warp(interpolation, fill_mode, "affine_transform")
    batch = Batch(images, data_format, "affine_transform")
    t = _transforms(transform, batch.x.shape[0], "affine_transform")
    rows, columns = _projected(batch.x, t)
    fill = float(np.asarray(value(fill_value)).reshape(-1)[0])
    y = warped(batch.x, rows, columns, order, fill_mode, fill)
    return batch.back(_rounded(y, batch.x.dtype))


@public
@composed
def perspective_transform(
    images: Any,
    start_points: Any,
    end_points: Any,
    interpolation: str = "bilinear",
    fill_value: Any = 0,
    data_format: str | None = None,
) -> Any:
    """Images in which what stands at the four `end_points` is what stood at the four `start_points`: (4, 2) or (N, 4,
    2).
    """
    order = check_warp(interpolation, "constant", "perspective_transform")
    batch = Batch(images, data_format, "perspective_transform")
    n = batch.x.shape[0]
    corners = []
    for title, points in (("start_points", start_points), ("end_points", end_points)):
        p = floating(points)
        p = reshaped(p, (1, *p.shape)) if len(p.shape) == 2 else p
        if p.shape[1:] != (4, 2) or p.shape[0] not in (1, n):
            raise ValueError(
                f"perspective_transform: Invalid {title} shape: expected (4,2) for a single image or ({n},4,2) for a "
                f"batch. Received shape: {value(points).shape}"
            )
        corners.append(p if p.shape[0] == n else Take(0)(p, Tensor(np.zeros(n, np.int32))))
    t = homography(*corners)
    rows, columns = _projected(batch.x, t)
    y = warped(batch.x, rows, columns, order, "constant", float(np.asarray(value(fill_value)).reshape(-1)[0]))
    return batch.back(_rounded(y, batch.x.dtype))


def homography(start: Any, end: Any) -> Any:
    """The eight numbers that carry the points `end` (N, 4, 2) to `start`: a linear system of eight equations."""
    n = start.shape[0]
    ex, ey = (slice_axis(end, 2, i, i + 1) for i in range(2))  # (N, 4, 1)
    zero, one = Mul()(ex, scalar(0.0, ex.dtype)), Add()(Mul()(ex, scalar(0.0, ex.dtype)), scalar(1.0, ex.dtype))
    equations, right = [], []
    for i in range(2):
        s = slice_axis(start, 2, i, i + 1)
        own = [ex, ey, one] if i == 0 else [zero, zero, zero]
        other = [zero, zero, zero] if i == 0 else [ex, ey, one]
        products = [Mul()(Mul()(s, ex), scalar(-1.0, s.dtype)), Mul()(Mul()(s, ey), scalar(-1.0, s.dtype))]
        equations.append(Concat(2)(*own, *other, *products))
        right.append(s)
    return reshaped(Solve()(Concat(1)(*equations), Concat(1)(*right)), (n, 8))


def displaced(
    x: Any, field: Any, alpha: Any, sigma: Any, size: int, order: int, fill_mode: str, fill_value: float
) -> Any:
    """Images (N, H, W, C) whose pixels read at places moved by `field` (N, H, W, 2), rows and columns, blurred with
    deviation `sigma` in a window of `size`, times `alpha`."""
    n, h, w, _ = x.shape
    smooth = Mul()(gaussian_blur(field, (size, size), sigma, "channels_last"), alpha)
    rows, columns = _grid(h, w, field.dtype)
    rows = Add()(rows, reshaped(slice_axis(smooth, 3, 0, 1), (n, h, w)))
    columns = Add()(columns, reshaped(slice_axis(smooth, 3, 1, 2), (n, h, w)))
    return _rounded(warped(x, rows, columns, order, fill_mode, fill_value), x.dtype)
