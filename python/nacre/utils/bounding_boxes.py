"""keras.utils.bounding_boxes: boxes in pictures, between formats, under moves of the picture, and compared with each
other.

Every format is a linear map of (left, top, right, bottom): two corners, or a corner or the centre with the extent; the
words say the order of x and y, and `rel_` that lengths are fractions of width and height.
"""

from __future__ import annotations

import math
from typing import Any

from nacre import ops
from nacre.core.config import epsilon, floatx
from nacre.core.errors import tell
from nacre.core.spec import broadcast_shapes

__all__ = [
    "affine_transform",
    "clip_to_image_size",
    "compute_ciou",
    "compute_iou",
    "convert_format",
    "crop",
    "decode_deltas_to_boxes",
    "encode_box_to_deltas",
    "pad",
]

# Format -> (whether y stands first, what the first two numbers are: the lesser corner or the centre, and the others:
# the
# greater corner or the extent).
_FORMATS = {
    "xyxy": (False, "corner", "corner"),
    "yxyx": (True, "corner", "corner"),
    "xywh": (False, "corner", "extent"),
    "center_xywh": (False, "centre", "extent"),
    "center_yxhw": (True, "centre", "extent"),
}
_RELATIVE = ("xyxy", "yxyx", "xywh", "center_xywh")
FORMATS = (*_FORMATS, *(f"rel_{name}" for name in _RELATIVE))


def _to_corners(boxes: Any, name: str) -> Any:
    """Boxes of a format as left, top, right, bottom."""
    flipped, first, second = _FORMATS[name]
    a, b = boxes[..., :2], boxes[..., 2:]
    if flipped:
        a, b = ops.flip(a, axis=-1), ops.flip(b, axis=-1)
    if first == "centre":
        a = a - b / 2.0
    return ops.concatenate([a, a + b if second == "extent" else b], axis=-1)


def _from_corners(boxes: Any, name: str) -> Any:
    flipped, first, second = _FORMATS[name]
    a, b = boxes[..., :2], boxes[..., 2:]
    extent = b - a
    a, b = (a + b) / 2.0 if first == "centre" else a, extent if second == "extent" else b
    if flipped:
        a, b = ops.flip(a, axis=-1), ops.flip(b, axis=-1)
    return ops.concatenate([a, b], axis=-1)


def _four_numbers(height: Any, width: Any, dtype: Any) -> Any:
    """width, height, width, height: what relative corners are fractions of."""
    return ops.stack([ops.cast(n, dtype) for n in (width, height, width, height)])


def convert_format(
    boxes: Any, source: str, target: str, height: Any = None, width: Any = None, dtype: str = "float32"
) -> Any:
    """Boxes (..., 4) of the format `source` in the format `target`; a dict's `"boxes"`, the other entries stay.

    Args:
        source, target: `"xyxy"`, `"yxyx"`, `"xywh"`, `"center_xywh"`, `"center_yxhw"`, or `"rel_"` and one of the first
            four, in capitals or not.
        height, width: of the image, where one of the formats is relative.

    Raises:
        ValueError: for an unknown format, another last dimension, or a relative format without height and width.

    >>> from nacre.utils import bounding_boxes
    >>> bounding_boxes.convert_format([[2, 3, 10, 12]], "xyxy", "xywh").numpy().tolist()
    [[2.0, 3.0, 8.0, 9.0]]
    """
    if isinstance(boxes, dict):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    boxes = ops.convert_to_tensor(boxes)
    if not boxes.shape or boxes.shape[-1] != 4:
        raise ValueError(
            f"`boxes` must be a tensor with the last dimension of 4. Received: boxes.shape={tuple(boxes.shape)}"
        )
    source, target = source.lower(), target.lower()
    if source not in FORMATS or target not in FORMATS:
        raise ValueError(
            f"Invalid source or target format. Supported formats: {FORMATS}. Received: source={source!r}, "
            f"target={target!r}"
        )
    relative = [name.startswith("rel_") for name in (source, target)]
    if source != target and any(relative) and (height is None or width is None):
        raise ValueError(
            "convert_format() must receive `height` and `width` transforming between relative and absolute formats. "
            f"convert_format() received source=`{source}`, target=`{target}`, but height={height} and width={width}."
        )
    x = ops.cast(boxes, dtype)
    if source == target:
        return x
    x = _to_corners(x, source.removeprefix("rel_"))
    if relative[0] != relative[1]:
        size = _four_numbers(height, width, x.dtype)
        x = x * size if relative[0] else x / size
    return ops.cast(_from_corners(x, target.removeprefix("rel_")), dtype)


def clip_to_image_size(
    bounding_boxes: dict[str, Any], height: Any = None, width: Any = None, bounding_box_format: str = "xyxy"
) -> dict[str, Any]:
    """Boxes cut to the image, `{"boxes": (..., N, 4), "labels": (..., N)}`; the label of a box without area becomes -1.

    Args:
        height, width: of the image; needed for `"xyxy"`.
        bounding_box_format: `"xyxy"` or `"rel_xyxy"`.

    Raises:
        ValueError: without height and width where they are needed.
        NotImplementedError: for another format.
    """
    if bounding_box_format not in ("xyxy", "rel_xyxy"):
        raise NotImplementedError(
            f"clip_to_image_size: expected bounding_box_format 'xyxy' or 'rel_xyxy', got {bounding_box_format!r}. "
            "Bring the boxes into one of these with convert_format()."
        )
    if bounding_box_format == "rel_xyxy":
        height = width = 1.0
    elif height is None or width is None:
        raise ValueError("`height` and `width` must be set if `format='xyxy'`.")
    boxes = ops.convert_to_tensor(bounding_boxes["boxes"])
    labels = ops.convert_to_tensor(bounding_boxes["labels"])
    boxes = ops.maximum(ops.minimum(boxes, _four_numbers(height, width, boxes.dtype)), ops.cast(0, boxes.dtype))
    extent = boxes[..., 2:] - boxes[..., :2]
    there = extent[..., 0] * extent[..., 1] > 0
    return {**bounding_boxes, "boxes": boxes, "labels": ops.where(there, labels, ops.cast(-1, labels.dtype))}


def _corners_only(name: str, function: str) -> None:
    if name != "xyxy":
        raise NotImplementedError(
            f"{function}: expected bounding_box_format 'xyxy', got {name!r}. Bring the boxes into it with "
            "convert_format()."
        )


def crop(boxes: Any, top: Any, left: Any, height: Any, width: Any, bounding_box_format: str = "xyxy") -> Any:
    """Boxes (..., 4) as seen in the window (height, width) at `top`, `left`, cut to it."""
    _corners_only(bounding_box_format, "crop")
    boxes = ops.convert_to_tensor(boxes)
    moved = boxes - _four_numbers(top, left, boxes.dtype)
    return ops.maximum(ops.minimum(moved, _four_numbers(height, width, boxes.dtype)), ops.cast(0, boxes.dtype))


def pad(
    boxes: Any, top: Any, left: Any, height: Any = None, width: Any = None, bounding_box_format: str = "xyxy"
) -> Any:
    """Boxes (..., 4) as seen in an image with `top` rows and `left` columns more in front."""
    _corners_only(bounding_box_format, "pad")
    boxes = ops.convert_to_tensor(boxes)
    return boxes + _four_numbers(top, left, boxes.dtype)


def enclosing(x: Any, y: Any) -> Any:
    """Coordinates of points (..., P) each -> the boxes (..., 4) around them: left, top, right, bottom."""
    shape = broadcast_shapes(x.shape, y.shape)
    x, y = ops.broadcast_to(x, shape), ops.broadcast_to(y, shape)
    return ops.stack([ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)], axis=-1)


def corners_of(boxes: Any) -> tuple[Any, Any]:
    """Boxes (..., 4) as x and y (..., 4) of their corners, around the box from the top left."""
    left, top, right, bottom = (boxes[..., i] for i in range(4))
    return ops.stack([left, right, right, left], axis=-1), ops.stack([top, top, bottom, bottom], axis=-1)


def affine_transform(
    boxes: Any,
    angle: Any,
    translate_x: Any,
    translate_y: Any,
    scale: Any,
    shear_x: Any,
    shear_y: Any,
    height: Any,
    width: Any,
    center_x: Any = None,
    center_y: Any = None,
    bounding_box_format: str = "xyxy",
) -> Any:
    """The boxes around boxes (N, B, 4) or (B, 4) that are moved, sheared, turned and scaled about a centre.

    Args:
        angle, shear_x, shear_y: in degrees, one for each image (N,).
        translate_x, translate_y: as fractions of width - 1 and height - 1.
        scale: the factor.
        center_x, center_y: the centre as fractions, 1/2 when not given.
    """
    _corners_only(bounding_box_format, "affine_transform")
    boxes = ops.convert_to_tensor(boxes)
    single = len(boxes.shape) == 2
    boxes = ops.expand_dims(boxes, 0) if single else boxes
    dtype = boxes.dtype if str(boxes.dtype).startswith("float") else floatx()

    def number(value: Any) -> Any:
        return ops.reshape(ops.cast(value, dtype), (-1, 1, 1))

    w, h = ops.cast(width, dtype) - 1.0, ops.cast(height, dtype) - 1.0
    cx, cy = (0.5 if c is None else ops.cast(c, dtype) for c in (center_x, center_y))
    cx, cy = cx * w, cy * h
    turn, slant_x, slant_y = (number(v) * (math.pi / 180.0) for v in (angle, shear_x, shear_y))
    cos, sin, along_x, along_y = ops.cos(turn), ops.sin(turn), ops.tan(slant_x), ops.tan(slant_y)
    # Keras' matrix: rows sheared along y, then along x, where the first entry has the sign of the inverse.
    c, d = -sin + along_y * cos, cos + along_y * sin
    a, b = cos - along_x * c, sin + along_x * d
    x, y = corners_of(ops.cast(boxes, dtype))
    x, y = x - cx + number(translate_x) * w, y - cy + number(translate_y) * h
    size = number(scale)
    moved = enclosing(size * (a * x + b * y) + cx, size * (c * x + d * y) + cy)
    return ops.squeeze(moved, 0) if single and moved.shape[0] == 1 else moved


def _encoding(name: str, variance: Any, what: str) -> Any:
    if name not in ("center_xywh", "center_yxhw"):
        raise ValueError(f"`{what}` should be one of 'center_xywh' or 'center_yxhw', got {name}")
    if variance is None:
        return None
    variance = ops.cast(variance, "float32")
    if variance.shape[-1:] != (4,):
        raise ValueError(f"`variance` must be length 4, got {ops.convert_to_numpy(variance)}")
    return variance


def _height_width(image_shape: Any) -> tuple[Any, Any]:
    return (None, None) if image_shape is None else (image_shape[0], image_shape[1])


def encode_box_to_deltas(
    anchors: Any,
    boxes: Any,
    anchor_format: str,
    box_format: str,
    encoding_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Any = None,
) -> Any:
    """Boxes as differences from anchors: centres in units of the anchor, logarithms of the ratios of extents.

    Args:
        anchors, boxes: (..., 4) of one shape, or dicts of such.
        variance: four numbers that the differences are divided by.
        image_shape: (height, width, channels), where a format is relative.
    """
    variance = _encoding(encoding_format, variance, "encoding_format")
    if isinstance(anchors, dict):
        anchors = ops.concatenate([ops.convert_to_tensor(a) for a in anchors.values()], axis=0)
    size = _height_width(image_shape)
    anchor = convert_format(anchors, anchor_format, encoding_format, *size)
    box = convert_format(boxes, box_format, encoding_format, *size)
    extent = ops.maximum(anchor[..., 2:], epsilon())
    shift = (box[..., :2] - anchor[..., :2]) / extent
    deltas = ops.concatenate([shift, ops.log(ops.maximum(box[..., 2:], epsilon()) / extent)], axis=-1)
    return deltas if variance is None else deltas / variance


def decode_deltas_to_boxes(
    anchors: Any,
    boxes_delta: Any,
    anchor_format: str,
    box_format: str,
    encoded_format: str = "center_yxhw",
    variance: Any = None,
    image_shape: Any = None,
) -> Any:
    """The boxes (..., 4) that differ by `boxes_delta` from `anchors`: what `encode_box_to_deltas` has encoded."""
    variance = _encoding(encoded_format, variance, "encoded_format")
    size = _height_width(image_shape)

    def decoded(anchor: Any, delta: Any) -> Any:
        anchor = convert_format(anchor, anchor_format, encoded_format, *size)
        delta = ops.cast(delta, anchor.dtype) if variance is None else ops.cast(delta, anchor.dtype) * variance
        extent = anchor[..., 2:]
        box = ops.concatenate([anchor[..., :2] + delta[..., :2] * extent, ops.exp(delta[..., 2:]) * extent], axis=-1)
        return convert_format(box, encoded_format, box_format, *size)

    if isinstance(anchors, dict):
        return {level: decoded(anchors[level], boxes_delta[level]) for level in anchors}
    return decoded(anchors, boxes_delta)


def _as_corners(boxes: Any, name: str, image_shape: Any) -> Any:
    if name.lower().startswith("rel_") and image_shape is None:
        raise ValueError(
            "When using relative bounding box formats (e.g. `rel_yxyx`) the `image_shape` argument must be provided. "
            f"Received `image_shape`: {image_shape}"
        )
    return convert_format(boxes, name, "xyxy", *_height_width(image_shape))


def _intersection(a: Any, b: Any) -> tuple[Any, Any]:
    """(area of both, area of either) of boxes (..., 4) in corners, broadcast."""
    lower, upper = ops.maximum(a[..., :2], b[..., :2]), ops.minimum(a[..., 2:], b[..., 2:])
    sides = ops.maximum(upper - lower, 0.0)
    both = sides[..., 0] * sides[..., 1]

    def area(box: Any) -> Any:
        return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])

    return both, area(a) + area(b) - both


def compute_iou(
    boxes1: Any,
    boxes2: Any,
    bounding_box_format: str,
    use_masking: bool = False,
    mask_val: Any = -1,
    image_shape: Any = None,
) -> Any:
    """The area of the intersection over that of the union for every pair: (..., M, 4), (..., N, 4) -> (..., M, N).

    Args:
        use_masking: whether pairs with a box whose numbers are all below 0 get `mask_val`.
        image_shape: (height, width, channels), for relative formats.

    >>> from nacre.utils import bounding_boxes
    >>> bounding_boxes.compute_iou([[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 2.0, 2.0]], "xyxy").numpy().tolist()
    [[0.5]]
    """
    sides = [ops.convert_to_tensor(boxes) for boxes in (boxes1, boxes2)]
    for name, boxes in zip(("boxes1", "boxes2"), sides):
        if len(boxes.shape) not in (2, 3):
            raise ValueError(
                f"compute_iou() expects {name} to be batched, or to be unbatched. Received "
                f"len(boxes1.shape)={len(sides[0].shape)}, len(boxes2.shape)={len(sides[1].shape)}. Expected either "
                f"len({name}.shape)=2 or len({name}.shape)=3."
            )
    first, second = (_as_corners(boxes, bounding_box_format, image_shape) for boxes in sides)
    a, b = ops.expand_dims(first, -2), ops.expand_dims(second, -3)
    both, either = _intersection(a, b)
    ratio = ops.divide_no_nan(both, either)
    if not use_masking:
        return ratio
    absent = ops.logical_or(ops.max(a, -1) < 0.0, ops.max(b, -1) < 0.0)
    return ops.where(absent, ops.cast(mask_val, ratio.dtype), ratio)


def compute_ciou(boxes1: Any, boxes2: Any, bounding_box_format: str, image_shape: Any = None) -> Any:
    """The complete IoU (Zheng et al. 2020) of boxes (..., 4) with those at the same place: the IoU less the distance
    of the centres and the difference of the aspect ratios, up to 1."""
    a, b = (_as_corners(boxes, bounding_box_format, image_shape) for boxes in (boxes1, boxes2))
    small = epsilon()
    both, either = _intersection(a, b)
    ratio = both / (either + small)
    hull = ops.maximum(a[..., 2:], b[..., 2:]) - ops.minimum(a[..., :2], b[..., :2])
    diagonal = ops.sum(hull * hull, axis=-1) + small
    between = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2.0
    distance = ops.sum(between * between, axis=-1)

    def slope(box: Any) -> Any:
        return ops.arctan((box[..., 2] - box[..., 0]) / (box[..., 3] - box[..., 1] + small))

    shape = (4.0 / math.pi**2) * ops.square(slope(a) - slope(b))
    return ratio - (distance / diagonal + shape * shape / (shape - ratio + 1.0 + small))


tell(globals())
