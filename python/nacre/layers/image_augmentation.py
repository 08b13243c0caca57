"""Augmentation of images by erasing, and by mixing images of a batch; pipelines of such layers."""

from __future__ import annotations

from typing import Any

from nacre import ops, random
from nacre.core.registry import deserialize_keras_object, serialize_keras_object
from nacre.layers.arguments import config_of
from nacre.layers.calling import mask_of, plan_of
from nacre.layers.image_color import choose, only_where
from nacre.layers.image_layer import BaseImagePreprocessingLayer, bounds, pair_of_values
from nacre.layers.layer import Layer


def _windows(shape: tuple[int, ...], of_width: Any, of_height: Any, seed: Any) -> tuple[Any, Any]:
    """A random box per image of these fractions: where it is (N, H, W, 1), and its share of the area (N, 1, 1, 1)."""
    n, h, w, _ = shape
    inside = None
    share: Any = 1.0
    for length, fraction, shape in ((w, of_width, (1, 1, w, 1)), (h, of_height, (1, h, 1, 1))):
        size = fraction * float(length)
        start = random.uniform((n, 1, 1, 1), seed=seed) * (float(length) - size)
        place = ops.reshape(ops.arange(length, dtype="float32"), shape)
        here = ops.logical_and(place >= start, place < start + size)
        inside = here if inside is None else ops.logical_and(inside, here)
        share = share * size / float(length)
    return inside, share


class RandomErasing(BaseImagePreprocessingLayer):
    """Images of which some lose a box in training (Zhong et al. 2017).

    Args:
        factor: limits of the probability, in [0, 1]; one number f means (0, f).
        scale: limits of the squares of the box's sides, as fractions of those of the image.
        fill_value: a number, or one per channel; noise when not given.
        value_range: the range of the values.
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(
        self,
        factor: Any = 1.0,
        scale: Any = (0.02, 0.33),
        fill_value: Any = None,
        value_range: Any = (0, 255),
        seed: Any = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self.scale = bounds(scale, "scale", 0, 1)
        number = isinstance(fill_value, (int, float)) or fill_value is None
        if not number and not (isinstance(fill_value, (list, tuple)) and len(fill_value) == 3):
            raise ValueError(
                f"The `fill_value` argument should be a number (or a list of three numbers). Received: {fill_value}"
            )
        self.fill_value = fill_value
        self.value_range = pair_of_values(value_range)
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        low, high = map(float, self.scale)
        of_width, of_height = (ops.sqrt(random.uniform((shape[0], 1, 1, 1), low, high, seed=seed)) for _ in range(2))
        inside, _ = _windows(shape, of_width, of_height, seed)
        if self.fill_value is None:
            fill = random.normal(shape, dtype=self._input_dtype, seed=seed) * float(self.value_range[1])
        else:
            fill = ops.convert_to_tensor(self.fill_value, dtype=self._input_dtype)
        return {"apply_erasing": choose(shape, self.factor, seed), "batch_masks": inside, "fill_value": fill}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        fill = ops.clip(ops.cast(drawn["fill_value"], images.dtype), *map(float, self.value_range))
        return only_where(drawn["apply_erasing"], ops.where(drawn["batch_masks"], fill, images), images)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "scale", "fill_value", "value_range", "seed")}


class _Mixing(BaseImagePreprocessingLayer):
    """Base class: each image of a batch is mixed with another one of `"permutation_order"`, and so is what belongs to
    it."""

    def _order(self, n: int, seed: Any) -> Any:
        return random.shuffle(ops.arange(n, dtype="int32"), seed=seed)

    def _weight(self, drawn: Any, like: Any) -> Any:
        """The weights of each image's own label, so that they broadcast."""
        return ops.reshape(ops.cast(drawn["mix_weight"], like.dtype), (-1, *(1,) * (len(like.shape) - 1)))

    def transform_labels(self, labels: Any, transformation: Any, training: bool = True) -> Any:
        """Labels (N, ...), one-hot, mixed by the weights of the images."""
        if not training or transformation is None:
            return labels
        own = ops.cast(labels, self._input_dtype)
        weight = self._weight(transformation, own)
        return weight * own + (1.0 - weight) * ops.take(own, transformation["permutation_order"], axis=0)


class MixUp(_Mixing):
    """Each image a weighted mean of two in training, and so its labels (Zhang et al. 2017); weights from Beta(alpha,
    alpha).

    Boxes of both are kept; of masks, so are both, as channels.

    >>> import nacre as keras
    >>> batch = {"images": keras.ops.ones((4, 8, 8, 3)), "labels": keras.ops.eye(4)}
    >>> keras.layers.MixUp(alpha=0.2)(batch)["labels"].shape
    (4, 4)
    """

    def __init__(self, alpha: float = 0.2, data_format: str | None = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.alpha = alpha
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        n = shape[0]
        return {
            "mix_weight": random.beta((n,), self.alpha, self.alpha, seed=seed),
            "permutation_order": self._order(n, seed),
        }

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        w = self._weight(drawn, images)
        return w * images + (1.0 - w) * ops.take(images, drawn["permutation_order"], axis=0)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """The boxes of both images, (N, 2 B, 4), with their labels (N, 2 B)."""
        if not training or transformation is None:
            return bounding_boxes
        order = transformation["permutation_order"]

        def both(of: Any) -> Any:
            mixed = ops.take(of, order, axis=0)
            return ops.concatenate([of, mixed], axis=min(1, len(mixed.shape) - 1))  # labels of one image are a row

        return {key: both(bounding_boxes[key]) for key in ("boxes", "labels")}

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        """The masks of both images, one behind the other on the axis of channels."""
        if not training or transformation is None:
            return segmentation_masks
        own = ops.cast(segmentation_masks, self._input_dtype)
        other = ops.take(own, transformation["permutation_order"], axis=0)
        return ops.concatenate([own, other], axis=-1 if self.data_format == "channels_last" else 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "alpha", "seed")}


class CutMix(_Mixing):
    """A box of each image shows another one in training, and its labels count by area (Yun et al. 2019).

    Args:
        factor: limits of alpha; the share of the image itself is drawn from Beta(alpha, alpha).
    """

    _FACTOR_BOUNDS = (0, 1)

    def __init__(self, factor: Any = 1.0, seed: Any = None, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(factor=factor, data_format=data_format, **kwargs)
        self._seed_with(seed)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        n, (low, high) = shape[0], self.factor
        alpha = random.uniform((), float(low), float(high), seed=seed) + 1e-6
        side = ops.sqrt(1.0 - ops.reshape(random.beta((n,), alpha, alpha, seed=seed), (n, 1, 1, 1)))
        inside, share = _windows(shape, side, side, seed)
        return {"permutation_order": self._order(n, seed), "batch_masks": inside, "mix_weight": 1.0 - share}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        return ops.where(drawn["batch_masks"], ops.take(images, drawn["permutation_order"], axis=0), images)

    def transform_segmentation_masks(self, segmentation_masks: Any, transformation: Any, training: bool = True) -> Any:
        """The masks of what is seen."""
        return self._transformed(segmentation_masks, transformation, training, self._apply)

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """Not there: what a box of another image cuts off is not known."""
        raise NotImplementedError(
            f"CutMix '{self.name}': bounding boxes cannot be mixed; MixUp keeps those of both images"
        )

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "factor", "seed")}


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """As many boxes for every image: further ones are cut off, missing ones are `fill_value`, as are their labels.

    Args:
        max_number: how many.
    """

    _USES_TRAINING = False

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_number = int(max_number)
        self.fill_value = int(fill_value)

    def transform_images(self, images: Any, transformation: Any, training: bool = True) -> Any:
        """The images, as they are."""
        return images

    def transform_bounding_boxes(self, bounding_boxes: Any, transformation: Any, training: bool = True) -> Any:
        """Boxes (N, max_number, 4) and labels (N, max_number)."""
        boxes, labels = bounding_boxes["boxes"], bounding_boxes["labels"]
        missing = max(self.max_number - boxes.shape[1], 0)

        def filled(x: Any) -> Any:
            widths = ((0, 0), (0, missing), *((0, 0),) * (len(x.shape) - 2))
            return ops.pad(x[:, : self.max_number], widths, constant_values=self.fill_value)

        return {**bounding_boxes, "boxes": filled(boxes), "labels": filled(labels)}

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "max_number", "fill_value")}


class Pipeline(Layer):
    """Layers one behind the other, as one layer: for preprocessing in a data set or in a model."""

    def __init__(self, layers: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        self._pipeline_layers = list(layers)
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @property
    def layers(self) -> list[Any]:
        """The layers, in order."""
        return list(self._pipeline_layers)

    def call(self, inputs: Any, training: bool = True, mask: Any = None) -> Any:
        """What the last layer gives."""
        for layer in self._pipeline_layers:
            plan = plan_of(type(layer))
            kwargs: dict[str, Any] = {"mask": mask} if plan.has_mask and mask is not None else {}
            if plan.has_training and training is not None:
                kwargs["training"] = training
            inputs = layer(inputs, **kwargs)
            mask = mask_of(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """The layers and the name."""
        return {"layers": serialize_keras_object(list(self._pipeline_layers)), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layers of that configuration, one behind the other."""
        layers = config.get("layers")
        if not isinstance(layers, (list, tuple)):
            raise ValueError(
                "`Pipeline` config must contain a `layers` key mapping to a list of serialized layers. Received config "
                f"with layers={layers}."
            )
        return cls(**{**config, "layers": [deserialize_keras_object(x) for x in layers]})
