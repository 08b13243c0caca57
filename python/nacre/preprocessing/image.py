"""Pictures: reading, resizing, and batches of pictures changed at random."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import standardize_data_format
from nacre.utils.files import walk_files
from nacre.utils.images import array_to_img, img_to_array, load_img, save_img
from nacre.utils.numerical import to_categorical
from nacre.utils.py_dataset import PyDataset

__all__ = [
    "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator", "apply_affine_transform",
    "apply_brightness_shift", "apply_channel_shift", "array_to_img", "img_to_array", "load_img", "random_brightness",
    "random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom", "save_img",
    "smart_resize",
]  # fmt: skip

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def smart_resize(
    x: Any, size: tuple[int, int], interpolation: str = "bilinear", data_format: str = "channels_last", **kwargs: Any
) -> Any:
    """The middle of pictures (H, W, C) or (N, H, W, C) in the aspect of `size` (height, width), resized to it."""
    if len(size) != 2:
        raise ValueError(f"Expected `size` to be a tuple of 2 integers, but got: {size}.")
    pictures = ops.convert_to_tensor(x)
    if pictures.ndim not in (3, 4):
        raise ValueError(f"smart_resize: expected a picture (H, W, C) or a batch of such, got shape {pictures.shape}")
    resized = ops.image.resize(
        ops.cast(pictures, "float32"), tuple(size), interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
    return np.asarray(resized) if isinstance(x, np.ndarray) else resized


class _Flow(PyDataset):
    """Batches without end when asked by `next`, an epoch when asked by `fit`."""

    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        make: Callable[[Any, Any], Any],
        save: tuple[Any, str, str] = (None, "", ""),
    ) -> None:
        super().__init__()
        self.n, self.samples, self.batch_size = n, n, batch_size
        self._shuffle, self._make, self._save = shuffle, make, save
        self._rng = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
        self._next = 0
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Mixes the pictures anew when shuffling was asked for."""
        self._order = self._rng.permutation(self.n) if self._shuffle else np.arange(self.n)

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rows = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        batch = self._make(rows, self._rng)
        folder, prefix, ending = self._save
        if folder:  # to look at
            for row, picture in zip(rows, batch[0] if isinstance(batch, tuple) else batch):
                name = f"{prefix}_{row}_{np.random.randint(10_000_000)}.{ending}"
                array_to_img(picture).save(os.path.join(folder, name))
        return batch

    def __next__(self) -> Any:
        if self._next == len(self):
            self._next = 0
            self.on_epoch_end()
        self._next += 1
        return self[self._next - 1]

    next = __next__

    def reset(self) -> None:
        """The first batch comes next."""
        self._next = 0

    batch_index = property(lambda self: self._next % len(self))


class _FlowOfFiles(_Flow):
    """Batches of pictures from files, and what is known of them."""

    def __init__(
        self, folder: Any, files: Any, names: list[str], classes: Any, mode: str | None, shape: Any, *batching: Any
    ):
        super().__init__(len(files), *batching)
        self.directory, self.class_mode, self.image_shape, self.target_size = folder, mode, shape, tuple(shape[:2])
        self.filepaths, self.filenames = [str(f) for f in files], [os.path.relpath(f, folder or "") for f in files]
        self.class_indices, self.num_classes = {name: i for i, name in enumerate(names)}, len(names)
        self.classes = self.labels = classes


Iterator = NumpyArrayIterator = _Flow  # what programs ask an object for
DirectoryIterator = _FlowOfFiles


class ImageDataGenerator:
    """Batches of pictures, changed at random while learning: turned, shifted, sheared, zoomed, mirrored, brightened.

    The arguments are those of Keras 2. Positions are interpolated bilinearly; `fill_mode` is "nearest", "constant",
    "reflect" or "wrap".
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: float = 0.0,
        height_shift_range: float = 0.0,
        brightness_range: Any = None,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Any], Any] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
    ) -> None:
        if standardize_data_format(data_format) != "channels_last":
            raise ValueError("ImageDataGenerator: pictures must be (height, width, channels)")
        if fill_mode not in ("nearest", "constant", "reflect", "wrap"):
            raise ValueError(f"ImageDataGenerator: unknown fill_mode {fill_mode!r}")
        if not 0 <= validation_split < 1:
            raise ValueError(f"`validation_split` must be between 0 and 1, got {validation_split}")
        self.featurewise_center, self.samplewise_center = featurewise_center, samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.rotation_range, self.shear_range, self.channel_shift_range = (
            rotation_range,
            shear_range,
            channel_shift_range,
        )
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        self.brightness_range, self.fill_mode, self.cval = brightness_range, fill_mode, cval
        self.zoom_range = (
            (1 - zoom_range, 1 + zoom_range) if isinstance(zoom_range, (int, float)) else tuple(zoom_range)
        )
        self.horizontal_flip, self.vertical_flip, self.rescale = horizontal_flip, vertical_flip, rescale
        self.preprocessing_function, self._validation_split = preprocessing_function, validation_split
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Measures mean and deviation of pictures (N, H, W, C), rescaled and with `augment` changed at random `rounds`
        times, for the `featurewise_` settings; and what `zca_whitening` multiplies with."""
        x = np.asarray(x, dtype="float32")
        if x.ndim != 4:
            raise ValueError(f"Input to `.fit()` should have rank 4. Got array with shape: {x.shape}")
        if self.rescale:
            x = x * np.float32(self.rescale)
        if augment:
            rng = np.random.default_rng(seed)
            x = np.stack([self._change(picture, rng) for _ in range(rounds) for picture in x])
        if self.featurewise_center:
            self.mean = x.mean(axis=(0, 1, 2))
            x = x - self.mean
        if self.featurewise_std_normalization:
            self.std = x.std(axis=(0, 1, 2))
            x = x / (self.std + 1e-6)
        if self.zca_whitening:
            u, s, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (u * (np.sqrt(len(x)) / (s + self.zca_epsilon))) @ u.T

    def standardize(self, x: Any) -> Any:
        """A picture after everything that is not chance."""
        x = np.asarray(x, dtype="float32")
        if self.preprocessing_function is not None:
            x = np.asarray(self.preprocessing_function(x), dtype="float32")
        if self.rescale:
            x = x * np.float32(self.rescale)
        if self.samplewise_center:
            x = x - x.mean()
        if self.samplewise_std_normalization:
            x = x / (x.std() + 1e-6)
        for wanted, known, name in (
            (self.featurewise_center, self.mean, "center"),
            (self.featurewise_std_normalization, self.std, "std_normalization"),
            (self.zca_whitening, self.zca_whitening_matrix, "zca_whitening"),
        ):
            if wanted and known is None:
                setting = name if name.startswith("zca") else f"featurewise_{name}"
                raise ValueError(f"{setting} needs the statistics of the data: call .fit(pictures) first")
        if self.mean is not None:
            x = x - self.mean
        if self.std is not None:
            x = x / (self.std + 1e-6)
        return x if self.zca_whitening_matrix is None else (x.ravel() @ self.zca_whitening_matrix).reshape(x.shape)

    def random_transform(self, x: Any, seed: int | None = None) -> Any:
        """A picture (H, W, C), changed at random."""
        return self._change(np.asarray(x, dtype="float32"), np.random.default_rng(seed))

    def get_random_transform(self, img_shape: Any, seed: int | None = None) -> dict[str, Any]:
        """A change of a picture of that shape, drawn at random, as `apply_transform` takes it."""
        return self._draw(img_shape, np.random.default_rng(seed))

    def _draw(self, img_shape: Any, rng: Any) -> dict[str, Any]:
        def shift(limit: float, size: int) -> float:
            return float(rng.uniform(-limit, limit)) * (size if abs(limit) < 1 else 1)

        theta = float(rng.uniform(-self.rotation_range, self.rotation_range))
        shear = float(rng.uniform(-self.shear_range, self.shear_range))
        ty, tx = shift(self.height_shift_range, img_shape[0]), shift(self.width_shift_range, img_shape[1])
        zx, zy = rng.uniform(*self.zoom_range, 2) if self.zoom_range != (1, 1) else (1.0, 1.0)
        channels = (
            rng.uniform(-self.channel_shift_range, self.channel_shift_range) if self.channel_shift_range else None
        )
        mirrored, upside_down = (
            asked and bool(rng.random() < 0.5) for asked in (self.horizontal_flip, self.vertical_flip)
        )
        light = None if self.brightness_range is None else rng.uniform(*self.brightness_range)
        return {
            "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy, "flip_horizontal": mirrored,
            "flip_vertical": upside_down, "channel_shift_intensity": channels, "brightness": light,
        }  # fmt: skip

    def apply_transform(self, x: Any, transform_parameters: dict[str, Any]) -> Any:
        """A picture (H, W, C), turned by "theta" degrees, read "tx" columns and "ty" rows further on, sheared by
        "shear" degrees, zoomed by "zx" and "zy"; then "channel_shift_intensity", "flip_horizontal", "flip_vertical" and
        "brightness". What is not named stays."""
        get = transform_parameters.get
        x = _moved(np.asarray(x), transform_parameters, self.fill_mode, self.cval)
        if get("channel_shift_intensity") is not None:
            x = np.clip(x + get("channel_shift_intensity"), x.min(), x.max())
        if get("flip_horizontal"):
            x = x[:, ::-1]
        if get("flip_vertical"):
            x = x[::-1]
        return x if get("brightness") is None else np.clip(x * get("brightness"), 0, 255)

    def _change(self, x: Any, rng: Any) -> Any:
        return self.apply_transform(x, self._draw(x.shape, rng))

    def _part(self, n: int, subset: str | None) -> Any:
        cut = int(n * self._validation_split)
        if subset not in (None, "training", "validation"):
            raise ValueError(f"Invalid subset name: {subset}; expected 'training' or 'validation'.")
        return np.arange(n) if subset is None else np.arange(cut) if subset == "validation" else np.arange(cut, n)

    def flow(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> _Flow:
        """Batches of changed pictures from an array (N, H, W, C), with labels and weights where given; each is written
        to the folder `save_to_dir` as well, where given."""
        x = np.asarray(x)
        if x.ndim != 4:
            raise ValueError(f"flow: expected pictures of shape (N, H, W, C), got {x.shape}")
        chosen = self._part(len(x), subset)
        others = [np.asarray(a)[chosen] for a in (y, sample_weight) if a is not None]
        pictures = x[chosen]

        def make(rows: Any, rng: Any) -> Any:
            batch = np.stack([self.standardize(self._change(pictures[i].astype("float32"), rng)) for i in rows])
            return (batch, *(a[rows] for a in others)) if others else batch

        return _Flow(len(chosen), batch_size, shuffle, seed, make, (save_to_dir, save_prefix, save_format))

    def flow_from_directory(
        self,
        directory: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> _Flow:
        """Batches of changed pictures from a folder with one sub-folder per class."""
        if class_mode not in ("categorical", "binary", "sparse", "input", None):
            raise ValueError(f"Invalid class_mode: {class_mode!r}")
        root = Path(directory)
        names = list(classes) if classes else sorted(p.name for p in root.iterdir() if p.is_dir())
        files, labels = [], []
        for number, name in enumerate(names):
            found = [p for p in walk_files(root / name) if p.suffix.lower() in _ENDINGS]
            kept = [found[i] for i in self._part(len(found), subset)]
            files += kept
            labels += [number] * len(kept)
        print(f"Found {len(files)} images belonging to {len(names)} classes.")
        numbers = np.array(labels, dtype=int)
        hot = to_categorical(numbers, len(names)).astype("float32") if class_mode == "categorical" else None
        targets = {"categorical": hot, None: None, "input": "input"}.get(class_mode, numbers.astype("float32"))
        return self._of_files(
            directory, files, targets, None, names, numbers, class_mode, target_size, color_mode, interpolation,
            keep_aspect_ratio, batch_size, shuffle, seed, (save_to_dir, save_prefix, save_format),
        )  # fmt: skip

    def flow_from_dataframe(
        self,
        dataframe: Any,
        directory: Any = None,
        x_col: str = "filename",
        y_col: Any = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Any = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: Any = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        keep_aspect_ratio: bool = False,
    ) -> _Flow:
        """Batches of changed pictures whose files a table names in column `x_col`, with what its other columns say.

        Args:
            directory: the folder that the names are relative to. y_col: the column of the targets; several of them for
                `class_mode` "multi_output". weight_col: that of the sample weights.
            class_mode: "categorical" (names of classes, or lists of them), "binary", "sparse", "raw" (the values as
                they are), "multi_output", "input" or None.
            validate_filenames: whether names of files that are not there are left out.
        """
        modes = ("binary", "categorical", "input", "multi_output", "raw", "sparse", None)
        if class_mode not in modes:
            raise ValueError(f"Invalid class_mode: {class_mode}; expected one of: {set(modes)}")
        if class_mode == "multi_output" and not isinstance(y_col, list):
            raise TypeError(f'If class_mode="{class_mode}", y_col must be a list. Received {type(y_col).__name__}.')
        if not all(isinstance(name, str) for name in dataframe[x_col]):
            raise TypeError(f"All values in column x_col={x_col} must be strings.")
        files = [Path(directory or "", name) for name in dataframe[x_col]]
        kept = [
            i for i, f in enumerate(files) if not validate_filenames or (f.suffix.lower() in _ENDINGS and f.is_file())
        ]
        if len(kept) < len(files):
            warnings.warn(
                f'Found {len(files) - len(kept)} invalid image filename(s) in x_col="{x_col}". '
                "These filename(s) will be ignored.",
                stacklevel=2,
            )
        names: list[str] = []
        if class_mode in ("binary", "categorical", "sparse"):
            given = [[v] if isinstance(v, str) else v for v in dataframe[y_col]]
            if not all(isinstance(v, (list, tuple)) for v in given):
                raise TypeError(f'If class_mode="{class_mode}", y_col="{y_col}" column values must be strings.')
            names = list(dict.fromkeys(classes)) if classes else sorted({name for v in given for name in v})
            if class_mode == "binary" and len(names) != 2:
                raise ValueError(f'If class_mode="binary" there must be 2 classes. Found {len(names)} classes.')
            kept = [i for i in kept if any(name in names for name in given[i])]
        kept = [kept[i] for i in self._part(len(kept), subset)]

        def column(name: Any) -> np.ndarray[Any, Any]:
            return np.array(dataframe[name].iloc[kept].tolist())

        numbers = [[names.index(name) for name in given[i] if name in names] for i in kept] if names else []
        targets: Any = {None: None, "input": "input"}.get(class_mode)
        if class_mode == "categorical":
            targets = np.zeros((len(kept), len(names)), "float32")
            for row, several in zip(targets, numbers, strict=True):
                row[several] = 1.0
        elif names:
            targets = np.array([n[0] for n in numbers], "float32")
        elif class_mode == "raw":
            targets = dataframe[y_col].iloc[kept].to_numpy()
        elif class_mode == "multi_output":
            targets = [column(name) for name in y_col]
        of = f" belonging to {len(names)} classes." if names else "."
        print(f"Found {len(kept)} {'' if validate_filenames else 'non-'}validated image filenames{of}")
        weights = column(weight_col) if weight_col else None
        classes_of = [n[0] if len(n) == 1 else n for n in numbers] if names else targets
        return self._of_files(
            directory, [files[i] for i in kept], targets, weights, names, classes_of, class_mode, target_size,
            color_mode, interpolation, keep_aspect_ratio, batch_size, shuffle, seed,
            (save_to_dir, save_prefix, save_format),
        )  # fmt: skip

    def _of_files(
        self, folder: Any, files: Any, targets: Any, weights: Any, names: list[str], classes: Any, mode: str | None,
        size: Any, color_mode: str, interpolation: str, keep: bool, batch_size: int, shuffle: bool, seed: int | None,
        save: tuple[Any, str, str],
    ) -> _Flow:  # fmt: skip
        """Batches of these files with their targets: an array, a list of such, "input" for the pictures, or None."""

        def make(rows: Any, rng: Any) -> Any:
            loaded = (img_to_array(load_img(files[i], color_mode, size, interpolation, keep)) for i in rows)
            batch = np.stack([self.standardize(self._change(p, rng)) for p in loaded])
            if targets is None:
                return batch
            if isinstance(targets, list):
                y: Any = [t[rows] for t in targets]
            else:
                y = batch.copy() if isinstance(targets, str) else targets[rows]
            return (batch, y) if weights is None else (batch, y, weights[rows])

        shape = (*size, {"grayscale": 1, "rgba": 4}.get(color_mode, 3))
        return _FlowOfFiles(folder, files, names, classes, mode, shape, batch_size, shuffle, seed, make, save)


def _moved(x: Any, change: dict[str, Any], fill: str, cval: float) -> Any:
    """The picture (H, W, C) turned, shifted, sheared and zoomed: see `ImageDataGenerator.apply_transform`."""
    get = change.get
    angle, shear = np.deg2rad(get("theta", 0)), np.deg2rad(get("shear", 0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1, -np.sin(shear)], [0, np.cos(shear)]]) @ np.diag([get("zx", 1), get("zy", 1)])
    moved = turn @ np.array([get("tx", 0), get("ty", 0)])
    if np.allclose(matrix, np.eye(2)) and not moved.any():
        return x
    return _affine(x, matrix[::-1, ::-1], moved[::-1], fill, cval)  # of (x, y), where pictures have rows first


def apply_affine_transform(
    x: Any, theta: float = 0, tx: float = 0, ty: float = 0, shear: float = 0, zx: float = 1, zy: float = 1,
    row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0,
    order: int = 1,
) -> Any:  # fmt: skip
    """A picture, turned by `theta` degrees, shifted, sheared and zoomed, interpolated bilinearly."""
    x, axes = np.asarray(x), (row_axis, col_axis, channel_axis)
    if x.ndim != 3 or sorted(axes) != [0, 1, 2]:
        raise ValueError(f"expected a picture with the axes 0, 1 and 2, got shape {x.shape} and axes {axes}")
    if order != 1:
        raise ValueError(f"order: expected 1, which is bilinear, got {order}")
    change = {"theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy}
    return _moved(x.transpose(axes), change, fill_mode, cval).transpose(np.argsort(axes))


def _drawn(draw: Callable[..., dict[str, float]]) -> Callable[..., Any]:
    """What moves a picture by numbers that `draw` draws from NumPy's generator."""

    def change(
        x: Any, *limits: Any, row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest",
        cval: float = 0.0, interpolation_order: int = 1,
    ) -> Any:  # fmt: skip
        drawn = draw((np.shape(x)[row_axis], np.shape(x)[col_axis]), *limits)
        return apply_affine_transform(
            x, **drawn, row_axis=row_axis, col_axis=col_axis, channel_axis=channel_axis, fill_mode=fill_mode,
            cval=cval, order=interpolation_order,
        )  # fmt: skip

    return change


def _zoom(zoom_range: Any) -> dict[str, float]:
    if len(zoom_range) != 2:
        raise ValueError(f"zoom_range: expected two floats, the least and the most zoom, got {zoom_range!r}")
    zx, zy = (1, 1) if tuple(zoom_range) == (1, 1) else np.random.uniform(zoom_range[0], zoom_range[1], 2)
    return {"zx": zx, "zy": zy}


random_rotation = _drawn(lambda size, rg: {"theta": np.random.uniform(-rg, rg)})
random_shift = _drawn(
    lambda size, wrg, hrg: {
        "tx": np.random.uniform(-hrg, hrg) * size[0],
        "ty": np.random.uniform(-wrg, wrg) * size[1],
    }
)
random_shear = _drawn(lambda size, intensity: {"shear": np.random.uniform(-intensity, intensity)})
random_zoom = _drawn(lambda size, zoom_range: _zoom(zoom_range))


def apply_channel_shift(x: Any, intensity: float, channel_axis: int = 0) -> Any:
    """A picture with `intensity` added, within the values that it has."""
    return np.clip(np.asarray(x) + intensity, np.min(x), np.max(x))


def random_channel_shift(x: Any, intensity_range: float, channel_axis: int = 0) -> Any:
    """A picture with a random number added, within the values that it has."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range))


def apply_brightness_shift(x: Any, brightness: float, scale: bool = True) -> Any:
    """A picture (H, W, C) of values from 0 to 255, `brightness` times as bright; `scale` first makes its least value 0
    and its largest 255."""
    x = np.asarray(x, np.float32)
    low, high = float(x.min()), float(x.max())
    outside = low < 0 or high > 255
    if outside or scale:
        x = (x - low) * (255 / (high - low) if high > low else 1)
    x = np.floor(np.clip(np.floor(x) * brightness, 0, 255)).astype(np.float32)
    return x / 255 * (high - low) + low if outside and not scale else x


def random_brightness(x: Any, brightness_range: Any, scale: bool = True) -> Any:
    """A picture as bright as a random number between these two says."""
    if len(brightness_range) != 2:
        raise ValueError(
            f"brightness_range: expected two floats, the least and the most brightness, got {brightness_range!r}"
        )
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)


def _affine(x: Any, matrix: Any, shift: Any, fill: str, cval: float) -> Any:
    """The picture whose value at p is that of `x` at matrix (p - centre) + centre + shift, interpolated bilinearly.

    As in Keras the centre is that of a picture as wide as this one is high: the middle where both are equal.
    """
    h, w = x.shape[:2]
    centre = np.array([(w - 1) / 2, (h - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij"), axis=-1) - centre
    at = grid @ matrix.T + centre + shift
    last = np.array([h - 1, w - 1])
    outside = ((at < -1e-9) | (at > last + 1e-9)).any(axis=-1)
    if fill == "wrap":  # the last pixel is the first one of the next picture
        at = np.where((at < 0) | (at > last), at % np.maximum(last, 1), at)
    low = np.floor(at).astype(int)
    share = (at - low).astype("float32")
    out = np.zeros_like(x)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - share[..., 0]) * np.abs(1 - dx - share[..., 1])
            value = x[_place(low[..., 0] + dy, h, fill), _place(low[..., 1] + dx, w, fill)]
            out += weight[..., None] * value
    return np.where(outside[..., None], np.float32(cval), out) if fill == "constant" else out


def _place(index: Any, size: int, fill: str) -> Any:
    """Indices moved into [0, size)."""
    if fill == "reflect":
        folded = index % (2 * size)
        return np.where(folded < size, folded, 2 * size - 1 - folded)
    return np.clip(index, 0, size - 1)
