"""Data sets of the files in a folder: one sub-folder per class."""

from __future__ import annotations

import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import standardize_data_format
from nacre.utils.dataset import Dataset
from nacre.utils.files import reading, walk_files
from nacre.utils.images import img_to_array, load_img
from nacre.utils.numerical import to_categorical
from nacre.utils.progbar import print_message

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_TEXTS = (".txt",)
_SOUNDS = (".wav",)
_KINDS = {_IMAGES: "image", _TEXTS: "text", _SOUNDS: "audio"}
_INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


class Files(Dataset):
    """Batches of files and labels (single files for no `batch_size`). Attributes: `class_names`, `file_paths`."""

    def __init__(
        self,
        paths: list[str],
        labels: Any,
        class_names: list[str] | None,
        read: Callable[[list[str]], Any],
        batch_size: int | None,
        rng: Any,
    ) -> None:
        self.file_paths, self.class_names = paths, class_names
        self._labels, self._read, self._batch, self._rng = labels, read, batch_size, rng
        super().__init__(self._batches, -(-len(paths) // (batch_size or 1)))
        self._rows_vary = batch_size is not None

    def _batches(self) -> Iterator[Any]:
        """The files in order, or mixed anew each time when shuffling was asked for."""
        n, size = len(self.file_paths), self._batch or 1
        order = np.arange(n) if self._rng is None else self._rng.permutation(n)
        for i in range(0, n, size):
            chosen = order[i : i + size]
            x = self._read([self.file_paths[j] for j in chosen])
            y = None if self._labels is None else self._labels[chosen]
            if self._batch is None:
                x, y = x[0], None if y is None else y[0]
            yield x if y is None else (x, y)


def _dataset(
    directory: Any,
    endings: tuple[str, ...],
    labels: Any,
    label_mode: str | None,
    class_names: Any,
    batch_size: int | None,
    shuffle: bool,
    seed: int | None,
    validation_split: float | None,
    subset: str | None,
    read: Callable[[list[str]], Any],
    verbose: bool,
    follow_links: bool,
) -> Any:
    root = Path(directory)
    if label_mode not in ("int", "categorical", "binary", None):
        raise ValueError(
            '`label_mode` argument must be one of "int", "categorical", "binary", or None. Received: '
            f"label_mode={label_mode}"
        )
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, or None for single samples. Received: {batch_size}")
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, received: {validation_split}")
    if (not validation_split) != (subset is None):
        raise ValueError("If `subset` is set, `validation_split` must be set, and inversely.")
    if subset not in (None, "training", "validation", "both"):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", received: {subset}')
    if shuffle and validation_split and seed is None:
        raise ValueError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` argument, to make sure that "
            "there is no overlap between the training and validation subset."
        )
    if label_mode is None:  # every file below the folder counts
        labels, class_names = None, None
    inferred = isinstance(labels, str) and labels == "inferred"
    if not inferred and labels is not None and not isinstance(labels, (list, tuple, np.ndarray)):
        raise ValueError(
            "`labels` argument should be a list/tuple of integer labels, of the same size as the number of "
            f"{_KINDS[endings]} files in the target directory. 'inferred' takes them from "
            f"the names of the subdirectories, None gives none. Received: labels={labels!r}"
        )
    if not inferred and class_names:
        raise ValueError(f'You can only pass `class_names` if `labels="inferred"`. Received: labels={labels!r}')
    if not root.is_dir():
        refused = NotADirectoryError if root.exists() else FileNotFoundError
        raise refused(f"there is no folder {str(directory)!r}")
    folders = sorted(p.name for p in root.iterdir() if p.is_dir())
    if inferred and class_names and not set(class_names) <= set(folders):
        raise ValueError(
            "The `class_names` passed did not match the names of the subdirectories of the target directory. Expected: "
            f"{folders} (or a subset of it), but received: class_names={class_names}"
        )
    if inferred:
        names = list(class_names or folders)
        found = [(p, i) for i, name in enumerate(names) for p in walk_files(root / name, follow_links)]
    else:
        names = [] if labels is None else [str(v) for v in sorted(set(labels))]
        found = [(p, 0) for p in walk_files(root, follow_links)]
    found = [(p, i) for p, i in found if p.suffix.lower() in endings]
    if not found:
        kind = "images" if endings is _IMAGES else f"{_KINDS[endings]} files"
        raise ValueError(f"No {kind} found in directory {directory}. Allowed formats: {endings}")
    paths = [str(p) for p, _ in found]
    numbers: Any = None
    if labels is not None:
        numbers = np.array([i for _, i in found] if inferred else labels, np.int32)
    if numbers is not None and len(numbers) != len(paths):
        raise ValueError(
            f"Expected the lengths of `labels` to match the number of files in the target directory. len(labels) is "
            f"{len(numbers)} while we found {len(paths)} files in directory {directory}."
        )
    if label_mode == "binary" and inferred and len(names) != 2:
        raise ValueError(
            f"When passing `label_mode='binary'`, there must be exactly 2 class_names. Received: class_names={names}"
        )
    if verbose:
        print_message(f"Found {len(paths)} files" + (f" belonging to {len(names)} classes." if names else "."))
    values = None if label_mode is None or numbers is None else numbers
    if values is not None and label_mode == "categorical":
        values = to_categorical(values, len(names) or None).astype("float32")
    elif values is not None and label_mode == "binary":
        values = values.astype("float32")[:, None]
    order = np.random.default_rng(seed).permutation(len(paths)) if shuffle else np.arange(len(paths))
    cut = len(paths) - int(validation_split * len(paths)) if validation_split is not None else len(paths)

    def part(chosen: Any) -> Files:
        rng = np.random.default_rng(seed) if shuffle else None
        return Files(
            [paths[i] for i in chosen],
            None if values is None else values[chosen],
            names if numbers is not None else None,
            read,
            batch_size,
            rng,
        )

    if verbose and subset in ("training", "both"):
        print_message(f"Using {cut} files for training.")
    if verbose and subset in ("validation", "both"):
        print_message(f"Using {len(paths) - cut} files for validation.")
    if subset == "both":
        return part(order[:cut]), part(order[cut:])
    return part(order[cut:] if subset == "validation" else order[:cut])


def image_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    color_mode: str = "rgb",
    batch_size: int | None = 32,
    image_size: tuple[int, int] = (256, 256),
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    interpolation: str = "bilinear",
    follow_links: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    data_format: str | None = None,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """Batches of pictures (batch, height, width, channels) float32 in 0..255, and their labels, from a folder.

    `labels` "inferred" takes the names of sub-folders as classes; a list gives a label per file in the order of paths.
    `label_mode`: "int", "categorical" (one-hot), "binary" (0.0 or 1.0) or None. With `validation_split`, `subset` says
    which part to give: "training", "validation" or "both". Other arguments are those of `load_img`;
    `pad_to_aspect_ratio` adds black borders so that nothing is stretched.
    """
    if color_mode not in ("rgb", "rgba", "grayscale"):
        raise ValueError(
            f'`color_mode` must be one of {{"rgb", "rgba", "grayscale"}}. Received: color_mode={color_mode}'
        )
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(
            f"Invalid `image_size` value. Expected a tuple of 2 integers. Received: image_size={image_size}"
        )
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(
            f"Argument `interpolation` should be one of {_INTERPOLATIONS}. Received: interpolation={interpolation}"
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` and `crop_to_aspect_ratio` can be set to `True`.")

    height, width = (int(n) for n in image_size)

    def picture(path: str) -> Any:
        """The pixels, resized as floats: each takes the nearest of the larger image, also where it shrinks."""
        dtype = "uint8" if interpolation == "nearest" else "float32"
        whole = img_to_array(load_img(path, color_mode), "channels_last", dtype)
        if not pad_to_aspect_ratio:
            resized = ops.image.resize(
                whole, (height, width), interpolation, False, crop_to_aspect_ratio, data_format="channels_last"
            )
            return np.asarray(resized)
        ratio = max(whole.shape[0] / height, whole.shape[1] / width)
        rows, columns = whole.shape[0] / ratio, whole.shape[1] / ratio
        inside = (max(int(rows), 1), max(int(columns), 1))
        at = (int((height - rows) / 2), int((width - columns) / 2))
        canvas = np.zeros((height, width, whole.shape[-1]), whole.dtype)
        resized = ops.image.resize(whole, inside, interpolation, data_format="channels_last")
        canvas[at[0] : at[0] + inside[0], at[1] : at[1] + inside[1]] = np.asarray(resized)
        return canvas

    def read(paths: list[str]) -> Any:
        pictures = np.stack([picture(path) for path in paths])
        first = standardize_data_format(data_format) == "channels_first"
        return pictures.transpose(0, 3, 1, 2) if first else pictures

    return _dataset(
        directory,
        _IMAGES,
        labels,
        label_mode,
        class_names,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        read,
        verbose,
        follow_links,
    )


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str = "tf",
    verbose: bool = True,
) -> Any:
    """Batches of texts (an object array of strings) and their labels, from the `.txt` files of a folder.

    The arguments are those of `image_dataset_from_directory`; `max_length` cuts texts after that many bytes.
    """
    if max_length is not None and max_length < 0:
        raise ValueError(f"`max_length` must be 0 or greater, or None. Received: max_length={max_length}")

    def read(paths: list[str]) -> Any:
        out = np.empty(len(paths), object)
        out[:] = [Path(p).read_bytes()[:max_length].decode("utf-8", "replace") for p in paths]
        return out

    return _dataset(
        directory,
        _TEXTS,
        labels,
        label_mode,
        class_names,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        read,
        verbose,
        follow_links,
    )


def read_sound(path: Any, rate: int | None) -> Any:
    """The samples (time, channels) of a file of PCM in -1..1, as float32; at another rate the same frequencies."""
    with reading(path, "a WAV file of PCM samples"), wave.open(path, "rb") as file:
        channels, size, own = file.getnchannels(), file.getsampwidth(), file.getframerate()
        if size > 4 or not 0 < own < 1 << 31:
            raise ValueError(f"{8 * size} bits a sample, {own} samples a second")
        raw = np.frombuffer(file.readframes(file.getnframes()), np.uint8)
    raw = raw[: raw.size // (size * channels) * size * channels].reshape(-1, channels, size)
    if size == 1:  # the only one without a sign
        samples = (raw[..., 0].astype(np.float32) - 128) / 128
    else:
        whole = np.zeros((*raw.shape[:2], 4), np.uint8)
        whole[..., 4 - size :] = raw
        samples = (whole.view("<i4")[..., 0] / 2**31).astype(np.float32)
    if rate is None or rate == own or not len(samples):
        return samples
    length = -(-len(samples) * rate // own)
    spectrum = np.fft.rfft(samples, axis=0)[: length // 2 + 1]
    return (np.fft.irfft(spectrum, length, axis=0) * (length / len(samples))).astype(np.float32)


def audio_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """Batches of sounds (batch, samples, channels) float32 in -1..1, and their labels, from `.wav` files of a folder.

    Each sound is cut or filled with zeros to `output_sequence_length`, or filled to the longest of its batch.
    `sampling_rate` gives all of them that rate, in Hz, by their spectra. The other arguments are those of
    `image_dataset_from_directory`. There are no ragged arrays.
    """
    if ragged and output_sequence_length is not None:
        raise ValueError("Cannot set both `ragged` and `output_sequence_length`")
    if ragged:
        raise ValueError("there are no ragged arrays: without `ragged`, sounds are filled to their batch's longest")
    if sampling_rate is not None and (isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int)):
        raise ValueError(f"`sampling_rate` should have an integer value. Received: sampling_rate={sampling_rate}")
    if sampling_rate is not None and sampling_rate <= 0:
        raise ValueError(f"`sampling_rate` should be higher than 0. Received: sampling_rate={sampling_rate}")
    if output_sequence_length is not None and output_sequence_length < 0:
        raise ValueError(f"`output_sequence_length` must not be negative, got {output_sequence_length}")

    def read(paths: list[str]) -> Any:
        sounds = [read_sound(path, sampling_rate) for path in paths]
        channels = {sound.shape[1] for sound in sounds}
        if len(channels) > 1:
            raise ValueError(f"a batch of sounds must have one number of channels, got {sorted(channels)}: {paths}")
        length = max(map(len, sounds)) if output_sequence_length is None else output_sequence_length
        out = np.zeros((len(sounds), length, *channels), np.float32)
        for to, sound in zip(out, sounds):
            to[: len(sound)] = sound[:length]
        return out

    return _dataset(
        directory,
        _SOUNDS,
        labels,
        label_mode,
        class_names,
        batch_size,
        shuffle,
        seed,
        validation_split,
        subset,
        read,
        verbose,
        follow_links,
    )
