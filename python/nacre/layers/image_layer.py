"""What layers on images share: batches and single images, both layouts, what belongs to the images, random numbers of
their own.

A call draws what it will do (`get_random_transformation`) and then does the same to images, labels, boxes and masks
(`transform_*`). A subclass says the two for a batch of images in one layout: `_draw` and `_apply`; where pixels move,
`_boxes` says where boxes go.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops, random
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, standardize_data_format
from nacre.layers.image_programs import Programs
from nacre.layers.layer import Layer
from nacre.ops.base import is_number
from nacre.utils import bounding_boxes as boxes_in

_KEYS = ("images", "labels", "bounding_boxes", "segmentation_masks")


class _Engine:
    """What Keras calls the backend: `numpy`, `nn`, `random`, ..., and functions such as `shape` and `cast`."""

    numpy = nn = core = math = ops
    image, linalg, random = ops.image, ops.linalg, random

    def __getattr__(self, name: str) -> Any:
        return getattr(ops, name)


class BaseImagePreprocessingLayer(Layer):
    """Base class of layers that change images (N, H, W, C), and what belongs to them.

    The inputs are one image or a batch, in `data_format`, or a dict with `"images"` and perhaps `"labels"` (N, ...),
    `"bounding_boxes"` (`{"boxes": (N, B, 4), "labels": (N, B)}`) and `"segmentation_masks"` (N, H, W, 1); its other
    entries stay.

    Args:
        factor: what is drawn from: a pair (lower, upper), or a number f for (-f, f), within `_FACTOR_BOUNDS`.
        bounding_box_format: that of the boxes, see `keras.utils.bounding_boxes.convert_format`.
    """

    _USES_TRAINING = True  # whether images stay as they are when not training
    _MOVES = False  # whether pixels move: masks and boxes then move with them
    _FACTOR_BOUNDS: tuple[float, float] = (-1, 1)
    backend = _Engine()

    def __init__(
        self, factor: Any = None, bounding_box_format: str | None = None, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.bounding_box_format = bounding_box_format
        self.data_format = standardize_data_format(data_format)
        if factor is not None:
            self._set_factor(factor)
        self._allow_non_tensor_positional_args = True
        self._programs = Programs()

    def _set_factor(self, factor: Any) -> None:
        self.factor = bounds(factor, "factor", *self._FACTOR_BOUNDS)

    def _seed_with(self, seed: Any) -> None:
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    # --- what a subclass says ------------------------------------------------------------------------------------

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        """What will be done to images of this shape (N, H, W, C); None when nothing is left to chance."""
        return None

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        """Images (N, H, W, C) of floats, transformed."""
        return images

    def _apply_to_masks(self, masks: Any, drawn: Any, training: bool) -> Any:
        """Masks (N, H, W, 1), moved: no values between those of neighbours."""
        return self._apply(masks, drawn, training)

    def _boxes(self, boxes: Any, drawn: Any, height: int, width: int) -> Any:
        """Boxes (N, B, 4), left, top, right, bottom in pixels of the input, in pixels of the output."""
        raise NotImplementedError

    def _output_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    # --- Keras' protocol -----------------------------------------------------------------------------------------

    def get_random_transformation(self, data: Any, training: bool = True, seed: Any = None) -> Any:
        """What is done to `data` (images or a dict with them), for the `transform_` methods; None when nothing is."""
        if self._USES_TRAINING and not training:
            return None
        images = data["images"] if isinstance(data, dict) else data
        shape = tuple(images.shape)
        self._is_batched(images)
        shape = shape if len(shape) == 4 else (1, *shape)
        if self.data_format == "channels_first":
            shape = (shape[0], *shape[2:], shape[1])
        return self._draw(shape, getattr(self, "generator", None) if seed is None else seed)

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """The images of a batch, transformed; as floats."""
        return self._transformed(images, transformation, training, self._apply)

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        """The labels of a batch: as they are, unless images are mixed."""
        return labels

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        """The masks of a batch, moved as the images are."""
        if not self._MOVES:
            return segmentation_masks
        return self._transformed(segmentation_masks, transformation, training, self._apply_to_masks)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """The boxes of a batch, moved as the images are and cut to them; boxes that are gone get the label -1."""
        if not self._MOVES or transformation is None or (self._USES_TRAINING and not training):
            return bounding_boxes
        size = self._input_size(transformation)
        style = self.bounding_box_format or "xyxy"
        given = boxes_in.convert_format(bounding_boxes["boxes"], style, "xyxy", *size)
        moved = {**bounding_boxes, "boxes": self._boxes(given, transformation, *size)}
        size = self._output_size(*size)
        return boxes_in.convert_format(boxes_in.clip_to_image_size(moved, *size), "xyxy", style, *size)

    def transform_single_image(self, image: Any, transformation: Any, training: bool = True) -> Any:
        """One image (H, W, C), transformed."""
        return _alone(self.transform_images, image, transformation, training)

    def transform_single_label(self, label: Any, transformation: Any, training: bool = True) -> Any:
        """The label of one image."""
        return _alone(self.transform_labels, label, transformation, training)

    def transform_single_bounding_box(self, bounding_box: Any, transformation: Any, training: bool = True) -> Any:
        """The boxes of one image."""
        return _alone(self.transform_bounding_boxes, bounding_box, transformation, training)

    def transform_single_segmentation_mask(
        self, segmentation_mask: Any, transformation: Any, training: bool = True
    ) -> Any:
        """The mask of one image."""
        return _alone(self.transform_segmentation_masks, segmentation_mask, transformation, training)

    def call(self, data: Any, training: bool = True) -> Any:
        """The data, transformed; images as they are when `training` is False, for most layers."""
        images = data.get("images") if isinstance(data, dict) else data
        if not hasattr(images, "shape"):
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected images, or a dict with `images` in it, got {data!r:.80}"
            )
        transformation = self.get_random_transformation(data, training=training)
        if not isinstance(data, dict):
            batched = self._is_batched(data)
            return (self.transform_images if batched else self.transform_single_image)(data, transformation, training)
        batched = self._is_batched(data["images"])
        given = (
            {**data, "bounding_boxes": self._given_boxes(data["bounding_boxes"])} if "bounding_boxes" in data else data
        )
        many = (
            self.transform_images, self.transform_labels, self.transform_bounding_boxes,
            self.transform_segmentation_masks,
        )  # fmt: skip
        one = (
            self.transform_single_image, self.transform_single_label, self.transform_single_bounding_box,
            self.transform_single_segmentation_mask,
        )  # fmt: skip
        done = {
            key: transform(given[key], transformation, training)
            for key, transform in zip(_KEYS, many if batched else one)
            if key in given
        }
        return {**data, **done}

    # --- helpers -------------------------------------------------------------------------------------------------

    def _is_batched(self, images: Any) -> bool:
        rank = len(images.shape)
        if rank not in (3, 4):
            raise ValueError(f"Expected the input image to be rank 3 or 4. Received: data.shape={tuple(images.shape)}")
        return rank == 4

    def _given_boxes(self, boxes: Any) -> Any:
        if self.bounding_box_format is None:
            raise ValueError(
                "You passed an input with a 'bounding_boxes' key, but you didn't specify a bounding box format. Pass a "
                f"`bounding_box_format` argument to your {type(self).__name__} layer, e.g. "
                "`bounding_box_format='xyxy'`."
            )
        if not isinstance(boxes, dict) or not {"boxes", "labels"} <= set(boxes):
            raise ValueError(
                "Expected `bounding_boxes` argument to be a dict with keys 'boxes' and 'labels'. Received: "
                f"bounding_boxes={boxes}"
            )
        return {key: ops.convert_to_tensor(value) for key, value in boxes.items()}

    def _input_size(self, transformation: Any) -> tuple[int, int]:
        """Height and width of the images that `transformation` was drawn for."""
        shape = transformation["input_shape"][-3:]
        return tuple(shape[:2] if self.data_format == "channels_last" else shape[1:])

    def _shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(N, H, W, C) in the layout of the layer."""
        return shape if self.data_format == "channels_last" else (shape[0], shape[3], *shape[1:3])

    def _transformed(self, images: Any, transformation: Any, training: bool, apply: Any) -> Any:
        x = images if is_float(images.dtype) else ops.cast(images, self._input_dtype)
        if self._USES_TRAINING and (not training or (transformation is None and hasattr(self, "generator"))):
            return x
        single, first = len(x.shape) == 3, self.data_format == "channels_first"
        x = ops.expand_dims(x, 0) if single else x
        x = ops.transpose(x, (0, 2, 3, 1)) if first else x
        x = self._programs.run(self, apply, x, transformation, training)
        x = ops.transpose(x, (0, 3, 1, 2)) if first else x
        return ops.squeeze(x, 0) if single else x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {**super().get_config(), **config_of(self, "data_format")}
        if self.bounding_box_format is not None:
            config["bounding_box_format"] = self.bounding_box_format
        return config


def _alone(transform: Any, data: Any, transformation: Any, training: bool) -> Any:
    """`transform` of a batch of one."""
    one = {k: ops.expand_dims(v, 0) for k, v in data.items()} if isinstance(data, dict) else ops.expand_dims(data, 0)
    done = transform(one, transformation, training)
    return {k: ops.squeeze(v, 0) for k, v in done.items()} if isinstance(done, dict) else ops.squeeze(done, 0)


def bounds(value: Any, name: str, lowest: float, highest: float, names: str | None = None) -> tuple[Any, Any]:
    """A number f as (-f, f), or from `lowest` on, a pair as it is, the smaller number first.

    Raises:
        ValueError: for anything else, and for numbers outside [lowest, highest].
    """
    low: Any = None
    high: Any = None
    if is_number(value):
        value = value.item() if isinstance(value, np.generic) else value
        low, high = (max(-abs(value), lowest), abs(value)) if value >= lowest else (value, value)
    elif isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(v) for v in value):
        low, high = sorted(v.item() if isinstance(v, np.generic) else v for v in value)
    if low is None or low < lowest or high > highest:
        raise ValueError(
            f"The `{names or name}` argument should be a number (or a list of two numbers) in the range "
            f"[{lowest}, {highest}]. Received: {name}={value}"
        )
    return low, high


def pair_of_values(value_range: Any) -> list[Any]:
    """`value_range` as a list of two, the smaller first. Raises ValueError when it is no such pair."""
    if not isinstance(value_range, (list, tuple)) or len(value_range) != 2 or value_range[0] == value_range[1]:
        raise ValueError(
            f"The `value_range` argument should be a list of two numbers. Received: value_range={value_range}"
        )
    return sorted(value_range)
