"""Boxes, masks and galleries: where the colors are, and which files come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nacre import visualization


def test_boxes_are_outlines_of_one_color() -> None:
    images = np.zeros((2, 20, 30, 3), "float32")
    boxes = {"boxes": np.array([[[2, 3, 12, 13]], [[0, 0, 5, 5]]], "float32"), "labels": np.array([[1], [-1]])}
    drawn = visualization.draw_bounding_boxes(images, boxes, "xyxy", None, (255, 0, 0), line_thickness=1)
    assert drawn.dtype == np.uint8 and drawn.shape == images.shape
    assert drawn[0, 3, 2:13].tolist() == [[255, 0, 0]] * 11 and not drawn[0, 15:, 20:].any()
    assert not drawn[1].any()  # class -1 is no box
    named = visualization.draw_bounding_boxes(images, boxes, "xyxy", {1: "cat"}, (255, 0, 0), line_thickness=1)
    assert np.count_nonzero(named[0]) > np.count_nonzero(drawn[0])
    with pytest.raises(TypeError, match="should be a dict"):
        visualization.draw_bounding_boxes(images, [1], "xyxy")
    with pytest.raises(ValueError, match="batched 4D"):
        visualization.draw_bounding_boxes(images[0], boxes, "xyxy")


def test_masks_are_mixed_with_the_image() -> None:
    images = np.full((1, 2, 2, 3), 100, "float32")
    masks = np.array([[[[0], [1]], [[-1], [1]]]])
    drawn = visualization.draw_segmentation_masks(images, masks, 2, {0: (0, 0, 0), 1: (200, 0, 50)}, alpha=0.5)
    assert drawn[0].tolist() == [[[50, 50, 50], [150, 50, 75]], [[100, 100, 100], [150, 50, 75]]]
    with pytest.raises(TypeError, match="integer dtype"):
        visualization.draw_segmentation_masks(images, masks.astype("float32"))


def test_galleries_are_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pip install nacre[plot]").use("Agg")
    images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3)).astype("float32")
    boxes = {"boxes": np.full((3, 1, 4), 2.0), "labels": np.zeros((3, 1), int)}
    masks = np.ones((3, 8, 8, 1), int)
    visualization.plot_image_gallery(images, y_true=[0, 1, 2], label_map={0: "a"}, path=tmp_path / "images.png")
    visualization.plot_bounding_box_gallery(images, "xyxy", boxes, legend=True, path=tmp_path / "boxes.png")
    visualization.plot_segmentation_mask_gallery(images, 2, y_true=masks, y_pred=masks, path=tmp_path / "masks.png")
    assert all((tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in ("images", "boxes", "masks"))
    with pytest.raises(ValueError, match="`label_map` must also"):
        visualization.plot_image_gallery(images, y_true=[0, 1, 2])
