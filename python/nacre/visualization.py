"""Pictures of images with boxes, masks and labels, drawn with Pillow, and galleries of them, with matplotlib."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nacre import ops
from nacre.core.config import standardize_data_format
from nacre.core.spec import is_int
from nacre.utils.bounding_boxes import convert_format

__all__ = [
    "draw_bounding_boxes",
    "draw_segmentation_masks",
    "plot_bounding_box_gallery",
    "plot_image_gallery",
    "plot_segmentation_mask_gallery",
]


def _batch(images: Any, data_format: Any, name: str = "images") -> np.ndarray[Any, Any]:
    """Images or masks as an array (N, H, W, C). Raises ValueError for another rank."""
    array = np.array(images)
    if array.ndim != 4:
        raise ValueError(f"`{name}` must be batched 4D tensor. Received: {name}.shape={array.shape}")
    first = standardize_data_format(data_format) == "channels_first"
    return array.transpose(0, 2, 3, 1) if first else array


def draw_bounding_boxes(
    images: Any,
    bounding_boxes: Any,
    bounding_box_format: str,
    class_mapping: Any = None,
    color: Any = (128, 128, 128),
    line_thickness: int = 2,
    text_thickness: int = 1,
    font_scale: float = 1.0,
    data_format: str | None = None,
) -> np.ndarray[Any, Any]:
    """Images (N, H, W, C) with the outlines of boxes and the names of their classes: uint8.

    Args:
        images: pixels from 0 to 255, or from 0 to 1.
        bounding_boxes: `"boxes"` (N, K, 4) and `"labels"` (N, K), of which -1 is no box; perhaps `"confidences"`.
        bounding_box_format: the format of the boxes, such as "xyxy" (see `keras.utils.bounding_boxes`).
        class_mapping: names by number of class; boxes of others get none.
        color: of lines and text.

    Raises:
        ValueError, TypeError: for images of another rank, or boxes that are no such dict.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not isinstance(bounding_boxes, dict):
        raise TypeError(
            f"`bounding_boxes` should be a dict. Received: bounding_boxes={bounding_boxes} of type "
            f"{type(bounding_boxes)}"
        )
    if "boxes" not in bounding_boxes or "labels" not in bounding_boxes:
        raise ValueError(
            "`bounding_boxes` should be a dict containing 'boxes' and 'labels' keys. Received: "
            f"bounding_boxes={bounding_boxes}"
        )
    array = _batch(images, data_format)
    height, width = array.shape[1:3]
    found = convert_format(dict(bounding_boxes), bounding_box_format, "xyxy", height, width)
    if array.dtype.kind == "f" and array.size:
        array = np.clip(array, 0, 1) * 255 if array.max() <= 1.0 else np.clip(array, 0, 255)
    array = array.astype("uint8")
    boxes, labels = np.asarray(found["boxes"]), np.asarray(found["labels"])
    sure = np.asarray(found["confidences"]) if "confidences" in found else None
    colors = tuple(int(c) for c in color)
    for i, pixels in enumerate(array):
        grey = pixels.shape[-1] == 1
        picture = Image.fromarray(pixels[..., 0] if grey else pixels)
        draw, ink = ImageDraw.Draw(picture), colors[0] if grey else colors
        for k, (x1, y1, x2, y2) in enumerate(boxes[i].astype(int).tolist()):
            label = int(labels[i][k])
            if label == -1:
                continue
            corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
            draw.rectangle(corners, outline=ink, width=max(int(line_thickness), 1))
            if label in (class_mapping or {}):
                text = str(class_mapping[label]) + (f" | {sure[i][k]:.2f}" if sure is not None else "")
                size = max(int(12 * font_scale), 1)
                inside = y1 - 8 - 2 * size <= 0  # no room above the box
                at = (x1 + 3, y1 + text_thickness + 3) if inside else (x1, y1 - 8 - size)
                draw.text(at, text, fill=ink, font=ImageFont.load_default(size))
        array[i] = np.asarray(picture).reshape(pixels.shape)
    return array


def draw_segmentation_masks(
    images: Any,
    segmentation_masks: Any,
    num_classes: int | None = None,
    color_mapping: Any = None,
    alpha: float = 0.8,
    blend: bool = True,
    ignore_index: int = -1,
    data_format: str | None = None,
) -> np.ndarray[Any, Any]:
    """Images (N, H, W, 3) with a color for each class of masks (N, H, W, 1): uint8, or float32 without `blend`.

    Args:
        segmentation_masks: integers.
        num_classes: how many classes get a color; the largest number in the masks when not given.
        color_mapping: colors by number of class.
        alpha: how much of the color is seen.
        ignore_index: the class of pixels that are left as they are.

    Raises:
        ValueError, TypeError: for images of another rank, or masks that are no integers.
    """
    pictures = _batch(images, data_format).astype("float32")
    masks = _batch(segmentation_masks, data_format, "segmentation_masks")
    if not is_int(masks.dtype.name):
        raise TypeError(
            f"`segmentation_masks` must be in integer dtype. Received: segmentation_masks.dtype={masks.dtype.name}"
        )
    classes = masks[..., 0]
    count = int(classes.max()) if num_classes is None else int(num_classes)
    drawn = pictures.copy()
    for number in range(count):
        color = [number * c % 255 for c in (2**25 - 1, 2**15 - 1, 2**21 - 1)]
        drawn[classes == number] = color if color_mapping is None else color_mapping[number]
    if not blend:
        return drawn
    mixed = pictures * (1 - alpha) + drawn * alpha
    return np.where((classes != ignore_index)[..., None], mixed, pictures).astype("uint8")


def plot_image_gallery(
    images: Any,
    y_true: Any = None,
    y_pred: Any = None,
    label_map: Any = None,
    rows: int | None = None,
    cols: int | None = None,
    value_range: Any = (0, 255),
    scale: float = 2,
    path: Any = None,
    show: bool | None = None,
    transparent: bool = True,
    dpi: float = 60,
    legend_handles: Any = None,
    data_format: str | None = None,
) -> None:
    """Images (N, H, W, C) in rows and columns, with their labels, in a file or on the screen.

    Args:
        y_true, y_pred: numbers of classes, which `label_map` names.
        value_range: the range of the pixels.
        path: of the file; without it, the picture is shown.

    Raises:
        ValueError: for images of another rank, labels without names, or both `path` and `show`.
        ImportError: when matplotlib is not installed.
    """
    plt = _pyplot("plot_image_gallery")
    if path is not None and show:
        raise ValueError("plot_gallery() expects either `path` to be set, or `show` to be true.")
    if (y_true is not None or y_pred is not None) and label_map is None:
        raise ValueError("If `y_true` or `y_pred` are provided, a `label_map` must also be provided.")
    if np.ndim(images) != 4:
        raise ValueError("`plot_images_gallery()` requires you to batch your `np.array` samples together.")
    pictures = _batch(images, data_format).astype("float32")
    low, high = value_range
    pictures = ((pictures - low) / (high - low) * 255).clip(0, 255).astype("uint8")
    rows = rows or math.ceil(math.sqrt(len(pictures)))
    cols = cols or max(len(pictures) // rows, 1)
    figure, axes = plt.subplots(
        rows, cols, figsize=(cols * scale, rows * scale), frameon=False, layout="tight", squeeze=False, sharex="row",
        sharey="col",
    )  # fmt: skip
    figure.subplots_adjust(wspace=0, hspace=0)
    if legend_handles is not None:
        figure.legend(handles=legend_handles, loc="lower center")
    for i, axis in enumerate(axes.ravel()):
        axis.margins(x=0, y=0)
        axis.axis("off")
        if i >= len(pictures):
            continue
        axis.imshow(pictures[i][..., 0] if pictures.shape[-1] == 1 else pictures[i])
        named = (("Label", y_true), ("Pred", y_pred))
        given = [(what, int(np.asarray(y)[i])) for what, y in named if y is not None and i < len(y)]
        titles = [f"{what}: {label_map.get(label, 'Unknown')}" for what, label in given]
        if titles:
            axis.set_title("  ".join(titles), fontsize=8)
    if path is not None:
        plt.savefig(path, pad_inches=0, bbox_inches="tight", transparent=transparent, dpi=dpi)
    elif show is None or show:
        plt.show()
    plt.close(figure)


def plot_bounding_box_gallery(
    images: Any,
    bounding_box_format: str,
    y_true: Any = None,
    y_pred: Any = None,
    value_range: Any = (0, 255),
    true_color: Any = (0, 188, 212),
    pred_color: Any = (255, 235, 59),
    line_thickness: int = 2,
    font_scale: float = 1.0,
    text_thickness: int | None = None,
    class_mapping: Any = None,
    ground_truth_mapping: Any = None,
    prediction_mapping: Any = None,
    legend: bool = False,
    legend_handles: Any = None,
    rows: int | None = None,
    cols: int | None = None,
    data_format: str | None = None,
    **kwargs: Any,
) -> None:
    """`plot_image_gallery` of images with boxes: the true ones and those of a prediction, each in its color."""
    _pyplot("plot_bounding_box_gallery")
    pictures = _batch(images, data_format)
    for boxes, color, names in (
        (y_true, true_color, ground_truth_mapping or class_mapping),
        (y_pred, pred_color, prediction_mapping or class_mapping),
    ):
        if boxes is not None:
            pictures = draw_bounding_boxes(
                pictures, boxes, bounding_box_format, names, color, line_thickness, text_thickness or line_thickness,
                font_scale, "channels_last",
            )  # fmt: skip
    if legend:
        from matplotlib.patches import Patch

        if legend_handles:
            raise ValueError(
                "Only pass `legend` OR `legend_handles` to `keras.visualization.plot_bounding_box_gallery()`."
            )
        titled = ((true_color, "Ground Truth"), (pred_color, "Prediction"))
        legend_handles = [Patch(color=tuple(c / 255.0 for c in color), label=label) for color, label in titled]
    plot_image_gallery(
        pictures, value_range=value_range, legend_handles=legend_handles, rows=rows, cols=cols,
        data_format="channels_last", **kwargs,
    )  # fmt: skip


def plot_segmentation_mask_gallery(
    images: Any,
    num_classes: int,
    value_range: Any = (0, 255),
    y_true: Any = None,
    y_pred: Any = None,
    color_mapping: Any = None,
    blend: bool = True,
    alpha: float = 0.8,
    ignore_index: int = -1,
    data_format: str | None = None,
    **kwargs: Any,
) -> None:
    """`plot_image_gallery` of a row per image: the image, and the image under its true mask and a predicted one."""
    pictures = _batch(images, data_format)
    columns = [pictures]
    for masks in (y_true, y_pred):
        if masks is not None:
            whole = np.asarray(ops.cast(_batch(masks, data_format, "segmentation_masks"), "int32"))
            columns.append(
                draw_segmentation_masks(
                    pictures, whole, num_classes, color_mapping, alpha, blend, ignore_index, "channels_last"
                )
            )
    shown = np.stack([np.asarray(c, "float32") for c in columns], axis=1).reshape(-1, *pictures.shape[1:])
    plot_image_gallery(
        shown, value_range=value_range, rows=len(pictures), cols=len(columns), data_format="channels_last", **kwargs
    )


def _pyplot(name: str) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError(
            f"The `{name}` function requires the `matplotlib` package. Please install it with `pip install matplotlib`."
        ) from None
    return plt
