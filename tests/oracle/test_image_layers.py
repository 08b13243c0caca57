"""Image preprocessing against real Keras: what Keras has drawn, done by both to images, labels, boxes and masks."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import nacre

unit = st.floats(0, 1, width=16)
pair = st.tuples(unit, unit).map(lambda p: tuple(sorted(p)))
signed = st.floats(-1, 1, width=16)
both_signs = st.tuples(signed, signed).map(lambda p: tuple(sorted(p)))
ranges = st.sampled_from([(0, 255), (0.0, 1.0), (-1, 1), (0, 100)])
mapping = {"interpolation": st.sampled_from(["nearest", "bilinear"]), "fill_value": st.just(0.25)}
filled = {**mapping, "fill_mode": st.sampled_from(["constant", "nearest", "wrap", "reflect"])}

# Layer -> its arguments.
LAYERS = {
    "RandomFlip": {"mode": st.sampled_from(["horizontal", "vertical", "horizontal_and_vertical"])},
    "RandomRotation": {"factor": st.one_of(both_signs, unit), **filled},
    "RandomZoom": {"height_factor": both_signs.filter(lambda p: p[0] > -0.9), "width_factor": st.none(), **filled},
    "RandomTranslation": {"height_factor": both_signs, "width_factor": st.one_of(signed, both_signs), **filled},
    "RandomShear": {"x_factor": st.one_of(unit, pair), "y_factor": pair, **filled},
    "RandomPerspective": {"factor": st.one_of(pair, unit), "scale": unit, **mapping},
    "RandomBrightness": {"factor": st.one_of(both_signs, unit), "value_range": ranges},
    "RandomContrast": {"factor": st.one_of(pair, unit), "value_range": ranges},
    "RandomColorDegeneration": {"factor": st.one_of(pair, unit), "value_range": ranges},
    "RandomHue": {"factor": st.one_of(pair, unit), "value_range": st.sampled_from([(0, 255), (0, 1)])},
    "RandomSaturation": {"factor": st.one_of(pair, unit), "value_range": st.sampled_from([(0, 255), (0, 1)])},
    "RandomSharpness": {"factor": st.one_of(pair, unit), "value_range": ranges},
    "RandomPosterization": {"factor": st.integers(1, 8), "value_range": st.sampled_from([(0, 255), (0, 1)])},
    "RandomInvert": {"factor": st.one_of(pair, unit), "value_range": st.just((0, 255))},
    "RandomErasing": {"factor": pair, "scale": pair, "fill_value": st.sampled_from([None, 3.0])},
    "RandomGaussianBlur": {"factor": pair, "kernel_size": st.sampled_from([3, 5, (3, 5)]), "sigma": pair},
    "Solarization": {"addition_factor": unit, "threshold_factor": pair, "value_range": ranges},
    "CutMix": {"factor": st.one_of(pair, unit)},
    "MixUp": {"alpha": st.floats(0.1, 1.0)},
    "RandAugment": {"num_ops": st.integers(0, 4), "factor": st.one_of(pair, unit)},
    "AugMix": {"num_chains": st.integers(1, 3), "chain_depth": st.integers(1, 3), "all_ops": st.booleans()},
    "AutoContrast": {"value_range": ranges},
    "Equalization": {"value_range": ranges, "bins": st.sampled_from([2, 16, 256])},
    "ContrastLimitedAdaptiveHistogramEqualization": {
        "clip_limit": st.floats(0.5, 9.0), "tile_grid_size": st.tuples(st.integers(1, 4), st.integers(1, 4)),
    },
    "Resizing": {
        "height": st.sampled_from([4, 8, 12]), "width": st.sampled_from([5, 8, 11]),
        "interpolation": st.sampled_from(["nearest", "bilinear"]), "crop_to_aspect_ratio": st.booleans(),
    },
    "CenterCrop": {"height": st.sampled_from([4, 8, 12]), "width": st.sampled_from([5, 8, 11])},
    "MaxNumBoundingBoxes": {"max_number": st.integers(1, 5)},
}  # fmt: skip
UNSEEDED = {
    "AutoContrast", "Equalization", "ContrastLimitedAdaptiveHistogramEqualization", "Resizing", "CenterCrop",
    "MaxNumBoundingBoxes",
}  # fmt: skip
# The values of neighbours stand on either side of a step, such as a level's edge or a pixel's: single ones may differ.
STEPS = {"RandomPosterization", "Equalization", "Solarization", "RandAugment", "AugMix", "RandomPerspective"}


def arrays(transformation):
    """What Keras has drawn, as NumPy has it, in nacre's words."""
    if isinstance(transformation, dict):
        if "layer_name" in transformation:  # a step of AugMix
            return transformation
        return {key: arrays(value) for key, value in transformation.items()}
    return np.asarray(transformation) if hasattr(transformation, "dtype") else transformation


def for_nacre(layer, transformation, shape):
    if type(layer).__name__ in ("Resizing", "CenterCrop"):
        return {"input_shape": shape}
    if type(layer).__name__ == "Equalization":
        return {}
    drawn = arrays(transformation)
    if type(layer).__name__ in ("CutMix", "RandomErasing") and layer.data_format == "channels_first":
        for key in {"batch_masks", "fill_value"} & set(drawn):
            drawn[key] = drawn[key].transpose(0, 2, 3, 1)
    if type(layer).__name__ == "AugMix":
        drawn["chain_transforms"] = [
            [
                {
                    "index": layer._names.index(step["layer_name"]),
                    "transforms": {
                        step["layer_name"]: for_nacre(getattr(layer, step["layer_name"]), step["transformation"], shape)
                    },
                }
                for step in chain
            ]
            for chain in drawn["chain_transforms"]
        ]
    if type(layer).__name__ == "RandAugment":
        drawn["transforms"] = {k: for_nacre(getattr(layer, k), v, shape) for k, v in drawn["transforms"].items()}
    return drawn


def same(name, got, want, reach):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    wrong = ~np.isclose(got, want, rtol=1e-3, atol=2e-4 * reach)
    assert wrong.mean() <= (0.05 if name in STEPS else 0.0), np.abs(got - want)[wrong]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", LAYERS)
@given(data=st.data())
@settings(max_examples=3, derandomize=True, deadline=None, phases=(Phase.explicit, Phase.generate))  # shrinking is slow
def test_the_same_draws_do_the_same(real, name, data_format, data):
    arguments = data.draw(st.fixed_dictionaries(LAYERS[name]))
    n, h, w = data.draw(st.sampled_from([(2, 7, 9), (2, 10, 6)]))  # each shape is compiled by JAX
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    low, high = arguments.get("value_range", (0, 255))
    images = rng.uniform(low, high, (n, h, w, 3)).astype("float32")
    corners = np.sort(rng.uniform(0, 1, (n, 2, 2, 2)), axis=2) * (w, h)
    boxes = {"boxes": corners.reshape(n, 2, 4).astype("float32"), "labels": rng.integers(0, 9, (n, 2))}
    masks = rng.integers(0, 5, (n, h, w, 1)).astype("float32")
    if data_format == "channels_first":
        images, masks = images.transpose(0, 3, 1, 2), masks.transpose(0, 3, 1, 2)
    options = {"bounding_box_format": "xyxy", **arguments, "data_format": data_format}
    if name not in UNSEEDED:
        options["seed"] = 3
    theirs, ours = getattr(real.layers, name)(**options), getattr(nacre.layers, name)(**options)
    theirs.build(images.shape)
    drawn = theirs.get_random_transformation({"images": images}, training=True)
    mine = for_nacre(ours, drawn, images.shape)
    reach = float(high - low)
    first = data_format == "channels_first"
    if not (
        first and name in ("AutoContrast", "RandAugment", "AugMix")
    ):  # Keras' AutoContrast takes rows for channels there
        same(name, ours.transform_images(images, mine, True), theirs.transform_images(images, drawn, True), reach)
    try:
        labels = np.eye(3, dtype="float32")[:n]
        same(name, ours.transform_labels(labels, mine, True), theirs.transform_labels(labels, drawn, True), 1.0)
        want = theirs.transform_bounding_boxes({k: v.copy() for k, v in boxes.items()}, drawn, True)
    except NotImplementedError:
        return
    if not (first and name in ("RandomShear", "RandAugment")):  # Keras takes another size for that of the image
        got = ours.transform_bounding_boxes(boxes, mine, True)
        same(name, got["boxes"], want["boxes"], 10.0)
        same(name, np.asarray(got["labels"]).reshape(np.shape(want["labels"])), want["labels"], 1.0)
    # Keras' CenterCrop interpolates between labels, and its MixUp adds weights to those of masks.
    if name not in ("CenterCrop", "MixUp") and not (first and name == "RandAugment"):
        got, want = (k.transform_segmentation_masks(masks, t, True) for k, t in ((ours, mine), (theirs, drawn)))
        same(name, got, want, 4.0)
