"""Images whose values are spread by their histograms: Equalization, and CLAHE, which does so in tiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from nacre import ops
from nacre.layers.arguments import config_of, is_int, standardize_tuple
from nacre.layers.image_layer import BaseImagePreprocessingLayer, pair_of_values


def histograms(levels: Any, bins: int) -> Any:
    """How often each of `bins` levels occurs: whole numbers (G, K) -> (G, bins)."""
    groups, count = levels.shape
    first = ops.convert_to_tensor(np.arange(groups, dtype=np.int32)[:, None] * bins)
    flat = ops.reshape(levels + first, (groups * count,))
    ones = ops.ones((groups * count,), dtype="float32")
    return ops.reshape(ops.segment_sum(ones, flat, num_segments=groups * bins), (groups, bins))


class Equalization(BaseImagePreprocessingLayer):
    """Images whose values are spread evenly over `value_range` in training, each channel of a batch for itself.

    Args:
        bins: how many values are told apart.
    """

    def __init__(
        self, value_range: Any = (0, 255), bins: int = 256, data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        if not is_int(bins) or bins < 2:
            raise ValueError(f"Equalization: expected `bins` to be an int of 2 or more, got {bins!r}")
        self.bins = bins
        self.value_range = pair_of_values(value_range)

    def _draw(self, shape: tuple[int, ...], seed: Any) -> Any:
        return {}

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        n, h, w, c = images.shape
        low, high = map(float, self.value_range)
        last = self.bins - 1
        levels = ops.cast(ops.clip((images - low) / (high - low) * 255.0, 0.0, 255.0) * (last / 255.0), "int32")
        rows = ops.transpose(ops.reshape(levels, (n * h * w, c)), (1, 0))
        total = float(n * h * w)
        count = histograms(rows, self.bins)
        below = ops.cumsum(count, axis=1)
        # The lowest level that occurs becomes 0, the highest 255.
        least = ops.min(ops.where(count > 0.0, below, total), axis=1, keepdims=True)
        span = total - least
        table = ops.round((below - least) * 255.0 / ops.maximum(span, 1.0)) * ((high - low) / 255.0) + low
        y = ops.reshape(ops.transpose(ops.take_along_axis(table, rows, axis=1), (1, 0)), images.shape)
        return ops.where(ops.reshape(span == 0.0, (c,)), images, ops.cast(y, images.dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "bins", "value_range")}


class ContrastLimitedAdaptiveHistogramEqualization(BaseImagePreprocessingLayer):
    """Images whose values are spread within tiles, between whose centres is interpolated (CLAHE, Pizer et al. 1987);
    also when not training.

    Args:
        clip_limit: no level counts for more than this times the mean of all; what is above is shared out to all levels.
        tile_grid_size: how many tiles, down and across; images are mirrored at the lower and right border until these
            fit.
    """

    _USES_TRAINING = False
    _LEVELS = 256

    def __init__(
        self,
        value_range: Any = (0, 255),
        clip_limit: float = 4.0,
        tile_grid_size: Any = (8, 8),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.value_range = value_range
        pair_of_values(value_range)
        self.clip_limit = clip_limit
        self.tile_grid_size = standardize_tuple(tile_grid_size, 2, "tile_grid_size")

    def _apply(self, images: Any, drawn: Any, training: bool) -> Any:
        n, h, w, c = images.shape
        low, high = map(float, self.value_range)
        tiles = self.tile_grid_size
        th, tw = (-(-size // count) for size, count in zip((h, w), tiles))
        top = self._LEVELS - 1
        levels = ops.cast(ops.clip((images - low) * (top / (high - low)), 0.0, float(top)), "int32")
        padded = ops.pad(levels, ((0, 0), (0, th * tiles[0] - h), (0, tw * tiles[1] - w), (0, 0)), mode="symmetric")
        tiled = ops.transpose(ops.reshape(padded, (n, tiles[0], th, tiles[1], tw, c)), (0, 5, 1, 3, 2, 4))
        table = self._tables(ops.reshape(tiled, (n * c * tiles[0] * tiles[1], th * tw)))
        flat = ops.reshape(table, (-1,))
        # Of each pixel: the tiles above and below, left and right, and how near the latter ones are.
        (above, below, down), (left, right, across) = (
            _neighbours(size, count, tile) for size, count, tile in zip((h, w), tiles, (th, tw))
        )
        planes = ops.reshape(ops.transpose(levels, (0, 3, 1, 2)), (n * c, h, w))
        first = np.arange(n * c, dtype=np.int32)[:, None, None] * (tiles[0] * tiles[1])

        def seen(row: Any, column: Any) -> Any:
            """What the tables of these tiles make of each pixel (N C, H, W)."""
            start = (first + row[:, None] * tiles[1] + column) * self._LEVELS
            return ops.take(flat, ops.convert_to_tensor(start.astype(np.int32)) + planes, axis=0)

        down, across = ops.convert_to_tensor(down[:, None]), ops.convert_to_tensor(across)
        upper = seen(above, left) * (1.0 - across) + seen(above, right) * across
        lower = seen(below, left) * (1.0 - across) + seen(below, right) * across
        y = (upper * (1.0 - down) + lower * down) * ((high - low) / top) + low
        y = ops.transpose(ops.reshape(y, (n, c, h, w)), (0, 2, 3, 1))
        return ops.cast(ops.clip(y, low, high), images.dtype)

    def _tables(self, levels: Any) -> Any:
        """Tiles (G, K) of levels -> what each level becomes (G, 256), from 0 to 255."""
        total = float(levels.shape[1])
        count = histograms(levels, self._LEVELS)
        kept = ops.minimum(count, float(self.clip_limit) * total / self._LEVELS) if self.clip_limit > 0 else count
        kept = kept + (total - ops.sum(kept, axis=1, keepdims=True)) / self._LEVELS
        below = ops.cumsum(kept, axis=1)
        least = below[:, :1]
        table = (below - least) * (self._LEVELS - 1.0) / ops.maximum(total - least, 1e-7)
        return ops.clip(table, 0.0, self._LEVELS - 1.0)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {**super().get_config(), **config_of(self, "value_range", "clip_limit", "tile_grid_size")}


def _neighbours(size: int, count: int, tile: int) -> tuple[Any, Any, Any]:
    """For each of `size` places: the tiles whose centres are before and behind it, and the weight of the latter."""
    place = np.arange(size) / tile - 0.5
    before = np.floor(place).astype(np.int32)
    weight = (place - before).astype(np.float32)
    return np.clip(before, 0, count - 1), np.clip(before + 1, 0, count - 1), weight
