"""Boxes in pictures against real Keras."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from nacre.utils import bounding_boxes as ours

FAST = settings(max_examples=10, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate))
HEIGHT, WIDTH = 20, 24
formats = st.sampled_from(ours.FORMATS)
seeds = st.integers(0, 1000)


def drawn(seed, *shape):
    """Boxes in corners, some of them outside and some without area."""
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(-5, 30, (*shape, 4)).astype("float32")
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2])
    return boxes


def near(got, want):
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def theirs(real):
    return real.utils.bounding_boxes


@given(source=formats, target=formats, seed=seeds, several=st.booleans())
@FAST
def test_formats(theirs, source, target, seed, several):
    boxes = drawn(seed, 2, 3) if several else drawn(seed, 3)
    size = {"height": HEIGHT, "width": WIDTH}
    near(ours.convert_format(boxes, source, target, **size), theirs.convert_format(boxes, source, target, **size))


@given(seed=seeds, top=st.integers(0, 6), left=st.integers(0, 6))
@FAST
def test_windows_and_borders(theirs, seed, top, left):
    boxes = drawn(seed, 2, 3)
    near(ours.crop(boxes, top, left, 12, 9), theirs.crop(boxes, top, left, 12, 9))
    near(ours.pad(boxes, top, left), theirs.pad(boxes, top, left))
    given_boxes = {"boxes": boxes, "labels": np.arange(6).reshape(2, 3)}
    got, want = (m.clip_to_image_size(dict(given_boxes), HEIGHT, WIDTH) for m in (ours, theirs))
    near(got["boxes"], want["boxes"])
    assert np.array_equal(got["labels"], want["labels"])


numbers = st.floats(-40, 40, width=16)


@given(seed=seeds, angle=numbers, shear=st.tuples(numbers, numbers), scale=st.floats(0.25, 4), centre=st.booleans())
@FAST
def test_affine_maps(theirs, seed, angle, shear, scale, centre):
    boxes = drawn(seed, 1, 3)
    values = (angle, 0.1, -0.2, scale, *shear)
    arguments = [np.array([v], "float32") for v in values]
    options = {"height": HEIGHT, "width": WIDTH, **({"center_x": 0.2, "center_y": 0.7} if centre else {})}
    near(ours.affine_transform(boxes, *arguments, **options), theirs.affine_transform(boxes, *arguments, **options))


@given(seed=seeds, variance=st.sampled_from([None, [0.1, 0.1, 0.2, 0.2]]), style=st.sampled_from(["xyxy", "yxyx"]))
@FAST
def test_differences_from_anchors(theirs, seed, variance, style):
    anchors, boxes = drawn(seed, 4) + np.float32([0, 0, 1, 1]), drawn(seed + 1, 4) + np.float32([0, 0, 1, 1])
    encoded = [m.encode_box_to_deltas(anchors, boxes, style, style, variance=variance) for m in (ours, theirs)]
    near(*encoded)
    near(ours.decode_deltas_to_boxes(anchors, encoded[0], style, style, variance=variance), boxes)


@given(seed=seeds, batched=st.tuples(st.booleans(), st.booleans()), masked=st.booleans())
@FAST
def test_overlaps(theirs, seed, batched, masked):
    first, second = (drawn(seed + i, 2, 3) if several else drawn(seed + i, 3) for i, several in enumerate(batched))
    options = {"use_masking": masked and batched[0] == batched[1], "mask_val": -7}  # Keras masks only boxes of one rank
    near(ours.compute_iou(first, second, "xyxy", **options), theirs.compute_iou(first, second, "xyxy", **options))
    near(ours.compute_ciou(first, second, "xyxy"), theirs.compute_ciou(first, second, "xyxy"))
