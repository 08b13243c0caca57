"""Layers that prepare data: text, categories, numbers, images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nacre
from nacre import Input, layers, saving
from nacre.core.errors import TracedBranch
from nacre.models import model_from_json
from nacre.runtime.compiled import CompiledFunction

TEXTS = ["the cat sat on the mat", "the dog!", "a Cat"]
IMAGES = np.random.default_rng(0).uniform(0, 255, (3, 9, 12, 2)).astype("float32")


class TestText:
    def test_frequent_words_come_first_and_later_ones_of_a_tie(self) -> None:
        layer = layers.TextVectorization(output_sequence_length=4)
        layer.adapt(TEXTS)
        assert layer.get_vocabulary() == ["", "[UNK]", "the", "cat", "sat", "on", "mat", "dog", "a"]
        assert layer(["the cat bird", "dog"]).tolist() == [[2, 3, 1, 0], [7, 0, 0, 0]]
        assert layer([["the"], ["a"]]).tolist() == [[2, 0, 0, 0], [8, 0, 0, 0]]

    def test_max_tokens_counts_the_special_ones(self) -> None:
        layer = layers.TextVectorization(max_tokens=4)
        layer.adapt(iter([TEXTS[:1], TEXTS[1:]]))
        assert layer.get_vocabulary() == ["", "[UNK]", "the", "cat"]
        assert layer.vocabulary_size() == 4

    def test_vectors(self) -> None:
        words = ["a", "b"]
        multi = layers.TextVectorization(output_mode="multi_hot", vocabulary=words)
        assert multi(["a a z", "b"]).tolist() == [[1, 1, 0], [0, 0, 1]]
        count = layers.TextVectorization(output_mode="count", vocabulary=words, max_tokens=5, pad_to_max_tokens=True)
        assert count(["a a z"]).tolist() == [[1, 2, 0, 0, 0]]
        weighted = layers.TextVectorization(output_mode="tf_idf")
        weighted.adapt(["a b", "b c"])
        assert weighted.get_vocabulary() == ["[UNK]", "b", "c", "a"]
        idf = np.log(1 + 2 / (1 + np.array([2.0, 1.0, 1.0])))
        np.testing.assert_allclose(weighted(["b b a"]), [[0, 2 * idf[0], 0, idf[2]]], rtol=1e-6)

    def test_ngrams_split_and_standardize(self) -> None:
        layer = layers.TextVectorization(ngrams=2, standardize=None, vocabulary=["A", "A b"])
        assert layer(["A b"]).tolist() == [[2, 1, 3]]
        letters = layers.TextVectorization(split="character", vocabulary=["x", "y"])
        assert letters(["XY!"]).tolist() == [[2, 3]]
        own = layers.TextVectorization(split=lambda t: t.split("-"), standardize=np.char.upper, vocabulary=["A", "B"])
        assert own(["a-b"]).tolist() == [[2, 3]]

    def test_it_travels_with_its_vocabulary(self, tmp_path: Path) -> None:
        layer = layers.TextVectorization()
        layer.adapt(TEXTS)
        layer.save_assets(str(tmp_path))
        again = layers.deserialize(layers.serialize(layer))
        again.load_assets(str(tmp_path))
        assert again(TEXTS).tolist() == layer(TEXTS).tolist()

    def test_a_program_cannot_hold_it(self) -> None:
        with pytest.raises(TracedBranch, match="before training"):
            CompiledFunction(lambda x: layers.TextVectorization(vocabulary=["a"])(x))(np.ones((2, 1), "float32"))

    def test_a_model_holds_it_and_runs_in_python(self) -> None:
        words, colour = Input((1,), dtype="string", name="words"), Input((1,), dtype="string", name="colour")
        number = Input((1,), dtype="int64", name="number")
        ids = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)(words)
        assert ids.shape == (None, 3) and ids.dtype == "int64"
        hot = layers.StringLookup(vocabulary=["red", "blue"], output_mode="multi_hot")(colour)
        assert hot.shape == (None, 3)
        place = layers.IntegerLookup(vocabulary=[5, 7], output_mode="one_hot")(number)
        x = layers.concatenate([layers.Flatten()(layers.Embedding(4, 2)(ids)), hot, place, layers.Hashing(3)(colour)])
        model = nacre.Model({"words": words, "colour": colour, "number": number}, layers.Dense(1)(x))
        model.compile("sgd", "mse")
        data = {
            "words": np.array([["a b"], ["b"], ["c"], [""]], object),
            "colour": np.array([["red"], ["blue"], ["x"], ["red"]]),
            "number": np.array([[5], [7], [1], [5]]),
        }
        losses = model.fit(data, np.arange(4.0), epochs=5, batch_size=2, verbose=0).history["loss"]
        assert losses[-1] < losses[0]
        again = model_from_json(model.to_json())
        again.set_weights(model.get_weights())
        expected = model.predict(data, verbose=0)
        np.testing.assert_array_equal(again.predict(data, verbose=0), expected)
        flat = {name: column[:, 0] for name, column in data.items()}
        np.testing.assert_array_equal(model.predict(flat, verbose=0), expected)

    @pytest.mark.parametrize(
        "kwargs",
        [{"standardize": "x"}, {"split": "x"}, {"ngrams": "x"}, {"output_mode": "x"}, {"max_tokens": 1},
         {"output_mode": "count", "output_sequence_length": 3}, {"sparse": True},
         {"ragged": True, "output_mode": "count"}],
    )  # fmt: skip
    def test_bad_arguments_are_refused(self, kwargs: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            layers.TextVectorization(**kwargs)


class TestLookup:
    def test_there_and_back(self) -> None:
        there = layers.StringLookup(vocabulary=["a", "b"])
        back = layers.StringLookup(vocabulary=["a", "b"], invert=True)
        assert there(np.array([["b", "z"]])).tolist() == [[2, 0]]
        assert back(there(["a", "b", "z"])).tolist() == ["a", "b", "[UNK]"]

    def test_mask_and_several_unknown_places(self) -> None:
        layer = layers.IntegerLookup(vocabulary=[5, 6], mask_token=0, num_oov_indices=2)
        assert layer([0, 5, 6, 7, 8]).tolist() == [0, 3, 4, 2, 1]
        assert layer.get_vocabulary() == [0, -1, -1, 5, 6]

    def test_modes(self) -> None:
        one = layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")
        assert one(["a", "b", "c"]).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
        many = layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot", num_oov_indices=0)
        assert many([["a", "b"], ["b", "b"]]).tolist() == [[1, 1], [0, 1]]

    def test_a_file_is_read_but_not_because_a_saved_model_says_so(self, tmp_path: Path) -> None:
        path = tmp_path / "words.txt"
        path.write_text("a\nb\n")
        layer = layers.StringLookup(vocabulary=os.fspath(path))
        assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
        config = saving.serialize_keras_object(layer)
        assert config["config"]["vocabulary"] is None  # the words travel with the layer's assets
        config["config"]["vocabulary"] = os.fspath(path)
        with pytest.raises((ValueError, TypeError), match="Loading opens no other files"):
            saving.deserialize_keras_object(config)

    def test_bad_vocabularies_are_refused(self, tmp_path: Path) -> None:
        for path in (tmp_path, "/dev/zero"):
            with pytest.raises(ValueError, match="is no file"):
                layers.StringLookup(vocabulary=str(path))
        with pytest.raises(TypeError, match="vocabulary: expected a list of tokens or the path of a file, got 3"):
            layers.StringLookup(vocabulary=3)
        with pytest.raises(ValueError, match="at least one repeated term"):
            layers.StringLookup(vocabulary=["a", "a"])
        with pytest.raises(ValueError, match="larger than the maximum vocab size"):
            layers.StringLookup(vocabulary=["a", "b"], max_tokens=2)
        with pytest.raises(ValueError, match="all inputs should be in vocabulary"):
            layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["z"])


class TestNumbers:
    def test_crossed_features_share_a_place_when_they_are_equal(self) -> None:
        layer = layers.HashedCrossing(num_bins=50)
        places = layer((np.array(["a", "b", "a"]), np.array([1, 1, 1]))).tolist()
        assert places[0] == places[2] != places[1] and all(0 <= p < 50 for p in places)
        hot = layers.HashedCrossing(50, output_mode="one_hot")((np.array([["a"]]), np.array([[1]])))
        assert hot.shape == (1, 50) and int(np.argmax(hot)) == places[0]
        crossed = layer([Input((1,), dtype="string"), Input((1,), dtype="int64")])
        assert crossed.shape == (None, 1) and crossed.dtype == "int64"
        with pytest.raises(ValueError, match="at least two"):
            layer([np.array([1])])
        with pytest.raises(ValueError, match="equal shape"):
            layer((np.array([1]), np.array([1, 2])))

    def test_categories(self) -> None:
        assert layers.CategoryEncoding(4)([[0, 1], [2, 2]]).tolist() == [[1, 1, 0, 0], [0, 0, 1, 0]]
        assert layers.CategoryEncoding(3, "one_hot")([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]
        weights = np.array([[0.5, 0.25], [1.0, 2.0]])
        counted = layers.CategoryEncoding(3, "count")([[0, 1], [2, 2]], count_weights=weights)
        assert counted.tolist() == [[0.5, 0.25, 0], [0, 0, 3]]
        with pytest.raises(ValueError, match="must be in the range 0 <= values < num_tokens"):
            layers.CategoryEncoding(3)([[3]])
        assert layers.CategoryEncoding(3)(Input((2,), dtype="int32")).shape == (None, 3)

    def test_intervals_contain_their_lower_boundary(self) -> None:
        layer = layers.Discretization([0.0, 1.0])
        assert layer([[-0.5, 0.0, 0.5, 1.0, 7.0]]).tolist() == [[0, 1, 1, 2, 2]]
        adapted = layers.Discretization(num_bins=4)
        adapted.adapt(np.arange(1.0, 1001.0))
        assert np.allclose(adapted.bin_boundaries, [250, 500, 750], rtol=1e-6)
        again = layers.Discretization.from_config(adapted.get_config())
        assert again([[300.0]]).tolist() == [[1]]

    def test_normalization_adapts_to_the_mean_and_biased_variance(self) -> None:
        data = 1e4 + np.random.default_rng(0).normal(size=(50, 3))
        layer = layers.Normalization()
        layer.adapt(iter([data[:20], data[20:]]))
        np.testing.assert_allclose(layer.adapt_mean.numpy(), data.mean(0), rtol=1e-6)
        np.testing.assert_allclose(layer.adapt_variance.numpy(), data.var(0), rtol=1e-6)
        assert int(layer.count.numpy()) == 50
        again = layers.Normalization()
        again.build((None, 3))
        again.set_weights(layer.get_weights())
        np.testing.assert_array_equal(again(data), layer(data))
        whole = layers.Normalization(axis=None)
        whole.adapt(data)
        assert whole.adapt_mean.shape == ()

    def test_normalization_takes_batches_of_any_kind(self) -> None:
        data = np.random.default_rng(7).normal(3.0, 2.0, (24, 3))
        parts = [data[i : i + 8] for i in range(0, 24, 8)]
        expected = layers.Normalization()
        expected.adapt(data)
        for batches in (parts, iter(parts), [(p, np.zeros(8)) for p in parts], data.tolist()):
            layer = layers.Normalization()
            layer.adapt(batches)
            np.testing.assert_allclose(layer(data), expected(data), rtol=1e-5, atol=1e-5)
        with pytest.raises(ValueError, match="empty iterable"):
            layers.Normalization().adapt([])

    def test_hashes_stay_in_their_bins(self) -> None:
        layer = layers.Hashing(5, mask_value="")
        values = np.asarray(layer([str(i) for i in range(200)] + [""]))
        assert set(values[:-1].tolist()) == {1, 2, 3, 4} and values[-1] == 0


class TestImages:
    def test_nothing_random_happens_when_not_training(self) -> None:
        for layer in (
            layers.RandomFlip(),
            layers.RandomRotation(0.2),
            layers.RandomZoom(0.2),
            layers.RandomContrast(0.5),
            layers.RandomBrightness(0.5),
            layers.RandomTranslation(0.2, 0.2),
            layers.RandomGrayscale(1.0),
            layers.RandomInvert(1.0),
            layers.RandomErasing(1.0),
            layers.MixUp(),
            layers.CutMix(),
            *(
                cls(4 if cls is layers.RandomPosterization else 1.0)
                for cls in (
                    layers.RandomPosterization, layers.RandomColorDegeneration, layers.RandomHue,
                    layers.RandomSaturation, layers.RandomSharpness,
                )
            ),
        ):  # fmt: skip
            np.testing.assert_array_equal(layer(IMAGES, training=False), IMAGES)

    def test_flips_choose_for_each_image(self) -> None:
        x = np.repeat(IMAGES[:1], 64, axis=0)
        y = np.asarray(layers.RandomFlip("horizontal", seed=1)(x, training=True))
        flipped = [np.array_equal(a, IMAGES[0, :, ::-1]) for a in y]
        kept = [np.array_equal(a, IMAGES[0]) for a in y]
        assert all(f != k for f, k in zip(flipped, kept))
        assert 15 < sum(flipped) < 49  # 64 fair coins: beyond five standard deviations

    def test_a_quarter_turn_is_exact(self) -> None:
        x = IMAGES[:, :, :9]
        y = layers.RandomRotation((0.25, 0.25), fill_mode="constant")(x, training=True)
        np.testing.assert_allclose(y, np.rot90(x, axes=(1, 2)), atol=1e-3)

    def test_translation_by_whole_pixels(self) -> None:
        y = layers.RandomTranslation((1 / 9, 1 / 9), (-2 / 12, -2 / 12), fill_mode="wrap")(IMAGES, training=True)
        np.testing.assert_allclose(y, np.roll(IMAGES, (1, -2), axis=(1, 2)), atol=1e-3)

    def test_crops_come_from_the_image(self) -> None:
        y = np.asarray(layers.RandomCrop(4, 5, seed=3)(IMAGES, training=True))
        windows = [IMAGES[:, i : i + 4, j : j + 5] for i in range(6) for j in range(8)]
        assert any(np.array_equal(y, w) for w in windows)
        np.testing.assert_array_equal(layers.CenterCrop(5, 6)(IMAGES), IMAGES[:, 2:7, 3:9])

    def test_resizing_keeps_constants_and_linear_ramps(self) -> None:
        ramp = np.broadcast_to(np.arange(8.0, dtype="float32")[None, None, :, None], (1, 4, 8, 1))
        y = np.asarray(layers.Resizing(4, 16)(ramp))[0, 0, :, 0]
        np.testing.assert_allclose(y[1:-1], (np.arange(16) + 0.5)[1:-1] / 2 - 0.5, atol=1e-5)
        for interpolation in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"):
            flat = np.asarray(layers.Resizing(5, 7, interpolation)(np.full((1, 9, 8, 2), 3.0)))
            np.testing.assert_allclose(flat, np.full((1, 5, 7, 2), 3.0), rtol=1e-5)

    def test_brightness_and_contrast(self) -> None:
        lighter = layers.RandomBrightness((0.1, 0.1))(IMAGES, training=True)
        np.testing.assert_allclose(lighter, np.clip(IMAGES + 25.5, 0, 255), rtol=1e-5)
        full = np.asarray(layers.AutoContrast()(IMAGES))
        np.testing.assert_allclose(full.min((1, 2)), np.zeros((3, 2)), atol=1e-3)
        np.testing.assert_allclose(full.max((1, 2)), np.full((3, 2), 255.0), rtol=1e-5)
        inverted = layers.Solarization(threshold_factor=(0.0, 0.0))(IMAGES, training=True)
        np.testing.assert_allclose(inverted, 255 - IMAGES, atol=1e-3)

    def test_changes_of_colour(self) -> None:
        rgb = np.random.default_rng(5).uniform(0, 255, (4, 6, 5, 3)).astype("float32")
        grey = (rgb @ np.array([0.2989, 0.5870, 0.1140]))[..., None]
        for y in (
            layers.RandomGrayscale(1.0)(rgb, training=True),
            layers.RandomColorDegeneration((1.0, 1.0))(rgb, training=True),
        ):
            np.testing.assert_allclose(np.asarray(y), np.broadcast_to(grey, rgb.shape), rtol=1e-4)
        np.testing.assert_allclose(layers.RandomInvert((1.0, 1.0))(rgb, training=True), 255 - rgb, rtol=1e-6)
        two_bits = np.asarray(layers.RandomPosterization((2, 2))(rgb, training=True))
        np.testing.assert_allclose(two_bits, rgb // 64 * 64, atol=1e-3)
        same = layers.RandomSaturation((0.5, 0.5))(rgb, training=True)
        np.testing.assert_allclose(same, rgb, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(layers.RandomSharpness((0.5, 0.5))(rgb, training=True), rgb, rtol=1e-5, atol=1e-3)
        unturned = layers.RandomHue((0.0, 0.0))(rgb, training=True)
        np.testing.assert_allclose(unturned, rgb, rtol=1e-3, atol=1e-2)
        whole_turn = layers.RandomHue((1.0, 1.0))(rgb, training=True)  # half a turn, either way
        np.testing.assert_allclose(np.asarray(whole_turn).max(-1), rgb.max(-1), rtol=1e-3, atol=1e-2)

    @pytest.mark.parametrize(
        ("kind", "arguments"),
        [
            ("RandomHue", {"factor": 0.4}),
            ("RandomContrast", {"factor": 0.5}),
            ("RandomColorJitter", {"brightness_factor": 0.2, "saturation_factor": 0.5}),
            ("RandomErasing", {}),
            ("RandomRotation", {"factor": 0.2}),
            ("RandomSharpness", {"factor": 0.5}),
            ("RandomFlip", {}),
        ],
    )
    def test_the_tenth_batch_is_changed_as_the_first(
        self, kind: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = np.random.default_rng(2).uniform(0, 255, (3, 8, 9, 3)).astype("float32")
        layer, one_by_one = (getattr(layers, kind)(**arguments, seed=1) for _ in range(2))
        for part in one_by_one._flatten_layers():
            monkeypatch.setattr(part._programs, "run", lambda layer, apply, *args: apply(*args))
        for _ in range(12):
            got, want = layer(images, training=True), one_by_one(images, training=True)
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)

    def test_programs_of_layers_follow_their_settings_and_let_gradients_pass(self) -> None:
        images = nacre.ops.convert_to_tensor(np.full((2, 4, 4, 3), 100.0, "float32"))
        layer = layers.RandomBrightness((0.5, 0.5), value_range=(0, 255))
        for _ in range(10):
            assert np.asarray(layer(images, training=True)).max() == 227.5
        layer.value_range = [0.0, 200.0]
        assert np.asarray(layer(images, training=True)).max() == 200.0
        for top in (50, np.float32(60), np.array(70.0)):
            layer.value_range = [0.0, top]
            assert np.asarray(layer(images, training=True)).max() == top
        layer.value_range = [0.0, 255.0]
        with nacre.GradientTape() as tape:
            tape.watch(images)
            total = nacre.ops.sum(layer(images, training=True))
        np.testing.assert_array_equal(tape.gradient(total, images), np.ones((2, 4, 4, 3), "float32"))

    def test_erased_boxes_hold_the_fill_value(self) -> None:
        erasing = layers.RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=7.0, seed=2)
        y = np.asarray(erasing(IMAGES, training=True))
        changed = (y != IMAGES).any(-1)
        assert (y[changed] == 7.0).all()
        for mask in changed:  # one box, of about half the sides
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert mask[np.ix_(rows, columns)].all()
            assert abs(len(rows) - 9 / 2) <= 1 and abs(len(columns) - 12 / 2) <= 1

    def test_mixed_images_and_labels_have_the_same_weights(self) -> None:
        n = 6
        images = np.broadcast_to(np.eye(n, dtype="float32")[:, None, None, :], (n, 16, 16, n))
        batch = {"images": images, "labels": np.eye(n, dtype="float32")}
        for layer in (layers.MixUp(alpha=1.0, seed=3), layers.CutMix(seed=3)):
            mixed = layer(batch, training=True)
            share = np.asarray(mixed["images"]).mean((1, 2))  # of each original in each result
            # A box has whole pixels: its sides are off by less than one of 16
            np.testing.assert_allclose(share, np.asarray(mixed["labels"]), atol=2 / 16 + 1e-5)
            assert np.abs(share - np.eye(n)).max() > 0.01

    def test_boxes_of_one_image_are_mixed_as_those_of_a_batch_are(self) -> None:
        drawn = {"mix_weight": [0.5, 0.5], "permutation_order": [1, 0]}
        one = {"boxes": np.arange(8.0).reshape(2, 4), "labels": np.array([1, 2])}
        many = {"boxes": np.arange(16.0).reshape(2, 2, 4), "labels": np.array([[1, 2], [3, 4]])}
        layer = layers.MixUp(bounding_box_format="xyxy")
        got = layer.transform_bounding_boxes(one, drawn, True)
        np.testing.assert_array_equal(got["boxes"], [[0, 1, 2, 3, 4, 5, 6, 7], [4, 5, 6, 7, 0, 1, 2, 3]])
        np.testing.assert_array_equal(got["labels"], [1, 2, 2, 1])
        got = layer.transform_bounding_boxes(many, drawn, True)
        assert np.asarray(got["boxes"]).shape == (2, 4, 4)
        np.testing.assert_array_equal(got["labels"], [[1, 2, 3, 4], [3, 4, 1, 2]])

    def test_a_pipeline_is_its_layers_one_behind_the_other(self) -> None:
        parts = [layers.Resizing(4, 5), layers.Rescaling(1 / 255)]
        pipeline = layers.Pipeline(parts)
        np.testing.assert_allclose(pipeline(IMAGES), parts[1](parts[0](IMAGES)), rtol=1e-6)
        again = layers.Pipeline.from_config(pipeline.get_config())
        np.testing.assert_allclose(again(IMAGES), pipeline(IMAGES), rtol=1e-6)

    def test_single_images_channels_first_integers_and_dicts(self) -> None:
        layer = layers.Resizing(4, 5, data_format="channels_first")
        expected = np.asarray(layers.Resizing(4, 5)(IMAGES))
        np.testing.assert_allclose(layer(IMAGES.transpose(0, 3, 1, 2)), expected.transpose(0, 3, 1, 2), rtol=1e-6)
        np.testing.assert_allclose(layers.Resizing(4, 5)(IMAGES[0]), expected[0], rtol=1e-6)
        assert np.asarray(layers.RandomFlip()(IMAGES.astype("uint8"), training=True)).dtype == "float32"
        whole = layers.Resizing(4, 5, interpolation="bicubic")(255 * (IMAGES > 0.5).astype("uint8"))
        exact = np.asarray(layers.Resizing(4, 5, interpolation="bicubic")(255.0 * (IMAGES > 0.5)))
        assert whole.dtype == "uint8" and np.array_equal(whole, np.clip(np.round(exact), 0, 255)) and exact.max() > 255
        both = layers.RandomFlip()({"images": IMAGES, "labels": np.arange(3)}, training=True)
        assert both["images"].shape == IMAGES.shape and np.asarray(both["labels"]).tolist() == [0, 1, 2]

    def test_compiled_draws_new_numbers_each_time(self) -> None:
        layer = layers.RandomRotation(0.2, seed=1)
        compiled = CompiledFunction(lambda x: layer(x, training=True))
        assert not np.array_equal(compiled(IMAGES), compiled(IMAGES))

    @pytest.mark.parametrize(
        "make",
        [
            lambda: layers.RandomFlip("diagonal"),
            lambda: layers.RandomRotation(2.0),
            lambda: layers.RandomRotation(0.1, fill_mode="a"),
            lambda: layers.RandomZoom(-3, interpolation="cubic"),
            lambda: layers.RandomContrast(3.0),
            lambda: layers.RandomBrightness((0.5, 1.5)),
            lambda: layers.RandomBrightness(0.5, value_range=(1, 1)),
            lambda: layers.RandomFlip()(
                {"images": IMAGES, "bounding_boxes": {"boxes": np.ones((3, 1, 4)), "labels": np.ones((3, 1))}}
            ),
            lambda: layers.Resizing(0, 3),
            lambda: layers.Resizing(2, 3, "a"),
            lambda: layers.CenterCrop(2, -1),
            lambda: layers.Resizing(2, 2)(np.ones((2, 2))),
        ],
    )
    def test_bad_arguments_are_refused(self, make: Any) -> None:
        with pytest.raises(ValueError):
            make()


@pytest.mark.parametrize("data", ["abc", {"labels": np.zeros(2)}, None])
def test_layers_of_images_say_where_they_expect_them(data: Any) -> None:
    with pytest.raises(ValueError, match="expected images, or a dict with `images` in it"):
        layers.RandomFlip()(data)


def test_texts_may_come_as_rows_of_their_own_lengths():
    layer = layers.TextVectorization(vocabulary=["good", "film"], ragged=True)
    rows = layer(["A good film!", "", "film"])
    assert rows.to_list() == [[1, 2, 3], [], [3]] and rows.shape == (3, None) and rows.dtype == "int64"
    assert rows.to_tensor().tolist() == [[1, 2, 3], [0, 0, 0], [3, 0, 0]]
    assert rows.to_tensor(-1, shape=(None, 2)).tolist() == [[1, 2], [-1, -1], [3, -1]]
    assert rows.row_lengths().tolist() == [3, 0, 1] and rows.flat_values.tolist() == [1, 2, 3, 3]
    assert layer("good good").tolist() == [2, 2]
    again = layers.TextVectorization.from_config(layer.get_config())
    again.set_vocabulary(layer.get_vocabulary())
    assert again(["film film"])[0].tolist() == [3, 3]
    with pytest.raises(ValueError, match="cannot go through a model"):
        layer(Input((), dtype="string"))
