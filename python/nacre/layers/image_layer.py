"""What layers on images share: single images and batches, both layouts, and random numbers of their own."""

from __future__ import annotations

from typing import Any

from nacre import ops, random
from nacre.core.spec import is_float
from nacre.layers.arguments import config_of, standardize_data_format
from nacre.layers.layer import Layer


class ImageLayer(Layer):
    """Base class: `transform(images (N, H, W, C) of floats, training)` gives images of that kind.

    The inputs are one image or a batch, in `data_format`; a dict's entry `"images"` is transformed, the others stay.
    """

    _USES_TRAINING = True

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = standardize_data_format(data_format)
        self._allow_non_tensor_positional_args = True

    def _seed_with(self, seed: Any) -> None:
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    def call(self, inputs: Any, training: bool = True) -> Any:
        """The transformed images; the images as they are when `training` is False."""
        if isinstance(inputs, dict):
            return {**inputs, "images": self.call(inputs["images"], training=training)}
        if not is_float(inputs.dtype):
            inputs = ops.cast(inputs, self._input_dtype)
        if self._USES_TRAINING and not training:
            return inputs
        rank = len(inputs.shape)
        if rank not in (3, 4):
            raise ValueError(
                f"{type(self).__name__} '{self.name}': expected an image (H, W, C) or a batch (N, H, W, C), got "
                f"shape {inputs.shape}"
            )
        x = inputs if rank == 4 else ops.expand_dims(inputs, 0)
        first = self.data_format == "channels_first"
        x = self.transform(ops.transpose(x, (0, 2, 3, 1)) if first else x, training)
        x = ops.transpose(x, (0, 3, 1, 2)) if first else x
        return x if rank == 4 else ops.squeeze(x, 0)

    def transform(self, images: Any, training: bool) -> Any:
        """Images (N, H, W, C), transformed."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> Any:
        """That of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "data_format")}


def bounds(
    value: Any, name: str, lowest: float | None = None, highest: float | None = None, sign: bool = True
) -> tuple[Any, Any]:
    """A number f as (-f, f) (or (0, f) without `sign`), a pair as it is. Raises ValueError for anything else."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = (-abs(value) if sign else 0, abs(value))
    try:
        lower, upper = value
        fits = lower <= upper and (lowest is None or lower >= lowest) and (highest is None or upper <= highest)
    except (TypeError, ValueError):
        fits = False
    if not fits:
        limits = "" if lowest is None else f" in [{lowest}, {highest}]"
        raise ValueError(
            f"The `{name}` argument should be a number or a pair (lower, upper){limits}. Received: {name}={value}"
        )
    return lower, upper
