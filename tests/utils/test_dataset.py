import functools
from typing import Any

import numpy as np
import pytest

import nacre
from nacre.core.tensor import Tensor
from nacre.utils.dataset import AUTOTUNE, Dataset

X, Y = np.arange(10), np.arange(10) * 2


def numbers(dataset):
    return [np.asarray(e).tolist() for e in dataset]


def test_slices_batches_and_maps():
    data = Dataset.from_tensor_slices((X, Y)).map(lambda x, y: (x + 1, y)).batch(4).prefetch(AUTOTUNE)
    batches = list(data)
    assert len(data) == 3 and [len(x) for x, _ in batches] == [4, 4, 2]
    assert np.concatenate([x for x, _ in batches]).tolist() == (X + 1).tolist()
    assert (
        len(list(data.unbatch())) == 10 and len(Dataset.from_tensor_slices({"a": X}).batch(4, drop_remainder=True)) == 2
    )


@pytest.mark.parametrize("buffer", [1, 3, 100])
def test_shuffling_keeps_every_element_and_changes_between_rounds(buffer):
    data = Dataset.from_tensor_slices(X).shuffle(buffer, seed=1)
    first, second = numbers(data), numbers(data)
    assert sorted(first) == sorted(second) == X.tolist()
    assert (first == second) == (buffer == 1)
    fixed = Dataset.from_tensor_slices(X).shuffle(buffer, seed=1, reshuffle_each_iteration=False)
    assert numbers(fixed) == numbers(fixed)


def test_chains_of_steps():
    data = Dataset.range(6)
    assert numbers(data.filter(lambda x: x % 2 == 0)) == [0, 2, 4]
    assert numbers(data.skip(2).take(3)) == [2, 3, 4] and numbers(data.repeat(2))[6:] == list(range(6))
    assert numbers(data.repeat().take(8)) == [0, 1, 2, 3, 4, 5, 0, 1] and data.repeat().cardinality() == -1
    assert [(int(i), int(e)) for i, e in data.enumerate(5).take(2)] == [(5, 0), (6, 1)]
    assert numbers(data.concatenate(Dataset.range(2))) == [0, 1, 2, 3, 4, 5, 0, 1]
    assert [(int(a), int(b)) for a, b in Dataset.zip((data, Dataset.range(2)))] == [(0, 0), (1, 1)]
    calls = []
    cached = data.map(lambda x: calls.append(1) or x).cache()
    assert numbers(cached) == numbers(cached) and len(calls) == 6
    with pytest.raises(TypeError, match="infinite"):
        len(data.repeat())


def test_fit_takes_a_dataset():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 3)).astype("float32"), rng.normal(size=(50, 1)).astype("float32")
    model = nacre.Sequential([nacre.layers.Dense(1)])
    model.compile("sgd", "mse")
    data = Dataset.from_tensor_slices((x, y)).shuffle(50).batch(16)
    history = model.fit(data, epochs=3, validation_data=data, verbose=0).history
    assert len(history["loss"]) == 3 and history["loss"][-1] < history["loss"][0]
    endless = Dataset.from_tensor_slices((x, y)).repeat().batch(16)
    assert len(model.fit(endless, epochs=2, steps_per_epoch=3, verbose=0).history["loss"]) == 2


def test_elements_are_tensors_and_texts_give_bytes():
    data = Dataset.from_tensor_slices({"n": [1, 2], "t": ["x", "yz"]})
    first, second = data
    assert isinstance(first["n"], Tensor) and first["n"].numpy() == 1
    assert second["t"].numpy() == b"yz" and data.batch(2).get_single_element()["t"].numpy().tolist() == [b"x", b"yz"]
    kinds = []
    list(data.map(lambda e: kinds.append(type(e["n"])) or e["n"] * 2))
    assert kinds == [Tensor, Tensor]
    assert next(data.as_numpy_iterator())["t"] == b"x"


def test_windows_are_data_sets():
    data = Dataset.range(7).window(3, shift=2, drop_remainder=True)
    assert numbers(data.flat_map(lambda w: w.batch(3))) == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    rest = Dataset.range(5).window(3).flat_map(lambda w: w.batch(3))
    assert numbers(rest) == [[0, 1, 2], [3, 4]]
    apart = Dataset.range(8).window(2, shift=3, stride=2).flat_map(lambda w: w.batch(2))
    assert numbers(apart) == [[0, 2], [3, 5], [6]]
    pairs = Dataset.from_tensor_slices((X, Y)).window(2, drop_remainder=True)
    assert [(int(a), int(b)) for x, y in pairs.take(1) for a, b in zip(x, y, strict=True)] == [(0, 0), (1, 2)]


def test_further_steps():
    data = Dataset.range(4)
    assert numbers(data.interleave(lambda x: Dataset.from_tensors(x).repeat(2), cycle_length=2)) == [
        0,
        1,
        0,
        1,
        2,
        3,
        2,
        3,
    ]
    assert int(data.reduce(np.int64(0), lambda state, x: state + x)) == 6
    assert numbers(data.shard(2, 1)) == [1, 3] and len(data.shard(2, 1)) == 2
    ragged = Dataset.from_generator(lambda: iter([[1], [2, 3]])).map(np.asarray).padded_batch(2)
    assert numbers(ragged) == [[[1, 0], [2, 3]]]
    assert [len(b) for b in Dataset.range(7).batch(2).rebatch(3)] == [3, 3, 1]
    pairs = Dataset.from_tensor_slices((X[:, None] * 1.0, ["a"] * 10))
    for data, n in (
        (pairs.batch(4), None),
        (pairs.batch(4, drop_remainder=True), 4),
        (pairs.batch(4).map(lambda x, y: (x * 2, y)).shuffle(3).take(2).cache().repeat(), None),
    ):
        assert [(s.shape, s.dtype) for s in data.element_spec] == [((n, 1), "float64"), ((n,), "string")]
    numbered = Dataset.zip(pairs.batch(4).unbatch(), pairs.batch(2)).enumerate().element_spec
    assert [s.shape for s in nacre.tree.flatten(numbered)] == [(), (None,), (), (None, 1), (None,)]


def test_folders_and_series_give_data_sets(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            nacre.utils.save_img(tmp_path / name / f"{i}.png", np.full((4, 5, 3), 40 * i, "uint8"))
    data = nacre.utils.image_dataset_from_directory(tmp_path, image_size=(4, 4), batch_size=4, seed=1, verbose=False)
    assert data.class_names == ["cat", "dog"] and len(data) == 2
    shapes = [(x.shape, y.shape) for x, y in data.map(lambda x, y: (x / 255.0, y)).prefetch(AUTOTUNE)]
    assert shapes == [((4, 4, 4, 3), (4,)), ((2, 4, 4, 3), (2,))]
    windows = nacre.utils.timeseries_dataset_from_array(X, Y, sequence_length=3, batch_size=None)
    assert numbers(windows.map(lambda x, y: x).take(2)) == [[0, 1, 2], [1, 2, 3]]


def test_text_in_a_data_set_reaches_the_layers_for_it():
    data = Dataset.from_tensor_slices((["a b", "b", "c"], [1, 0, 0])).batch(2)
    layer = nacre.layers.TextVectorization(output_sequence_length=2)
    layer.adapt(data.map(lambda text, label: text))
    assert layer.vocabulary_size() == 5
    assert [x.shape for x, _ in data.map(lambda text, label: (layer(text), label))] == [(2, 2), (1, 2)]


def _folder(tmp_path: Any, sizes: Any) -> Any:
    image = pytest.importorskip("PIL.Image", reason="pip install Pillow")
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for i, (height, width) in enumerate(sizes):
            pixels = np.random.default_rng(i).integers(0, 255, (height, width, 3), dtype=np.uint8)
            image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_images_are_resized_as_floats_from_the_nearest_pixels(tmp_path: Any, capsys: Any) -> None:
    """As TensorFlow does: a half of the size is the mean of two by two pixels, without a wider window."""
    folder = _folder(tmp_path, [(8, 8), (12, 10)])
    read = functools.partial(nacre.utils.image_dataset_from_directory, folder, shuffle=False)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8).astype("float32")
    x, y = next(iter(read(image_size=(4, 4))))
    assert x.dtype == "float32" and y.dtype == "int32" and y.tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(x[0], pixels.reshape(4, 2, 4, 2, 3).mean((1, 3)), rtol=1e-6)
    whole = next(iter(read(image_size=(8, 8), interpolation="nearest")))[0]
    assert whole.dtype == "uint8" and np.array_equal(whole[0], pixels)
    padded = np.asarray(next(iter(read(image_size=(8, 8), pad_to_aspect_ratio=True)))[0])
    assert padded[1, :, 6:].max() == 0 < padded[1, :, :6].min()
    assert next(iter(read(image_size=(4, 4), class_names=["dogs"])))[1].tolist() == [0, 0]
    capsys.readouterr()
    read(validation_split=0.5, subset="both")
    assert capsys.readouterr().out.splitlines() == [
        "Found 4 files belonging to 2 classes.", "Using 2 files for training.", "Using 2 files for validation.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(validation_split=0.5), "If `subset` is set, `validation_split` must be set"),
        (dict(image_size=(8,)), "Invalid `image_size` value"),
        (dict(interpolation="some"), "Argument `interpolation` should be one of"),
        (dict(class_names=["birds"]), "did not match the names of the subdirectories"),
        (dict(label_mode="some"), "`label_mode` argument must be one of"),
        (dict(batch_size=0), "`batch_size` must be at least 1"),
    ],
)
def test_arguments_for_folders_are_checked(arguments: dict[str, Any], message: str, tmp_path: Any) -> None:
    with pytest.raises(ValueError, match=message):
        nacre.utils.image_dataset_from_directory(_folder(tmp_path, [(4, 4)]), shuffle=False, **arguments)


def test_texts_are_not_cut_from_the_end(tmp_path: Any) -> None:
    with pytest.raises(ValueError, match="max_length=-1"):
        nacre.utils.text_dataset_from_directory(tmp_path, max_length=-1)


def test_windows_longer_than_the_data_are_none_and_indices_are_checked() -> None:
    windows = nacre.utils.timeseries_dataset_from_array
    assert list(windows(np.arange(5), None, sequence_length=9)) == []
    for arguments, message in (
        (dict(start_index=-1), "must be 0 or greater"),
        (dict(start_index=3, end_index=2), "`end_index` must be higher than `start_index`"),
        (dict(sampling_rate=0), "`sampling_rate` must be higher than 0"),
        (dict(sequence_stride=5), "`sequence_stride` must be lower than the length"),
        (dict(batch_size=0), "`batch_size` must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            windows(np.arange(5), None, 2, **arguments)


def test_a_list_that_a_function_gives_is_a_tuple_of_parts():
    data = Dataset.range(3).map(lambda i: [i, [i, 2 * i]]).map(lambda i, both: i + both[1])
    assert [int(x) for x in data] == [0, 3, 6]


def test_what_is_no_data_set_and_what_no_number_of_one_is_refused():
    numbers = Dataset.range(3)
    for what, call in (
        ("concatenate", lambda: numbers.concatenate([1, 2])),
        ("sample_from_datasets", lambda: Dataset.sample_from_datasets([1, 2])),
        ("choose_from_datasets", lambda: Dataset.choose_from_datasets("ab", numbers)),
    ):
        with pytest.raises(TypeError, match=f"Dataset.{what}: expected data sets, got"):
            call()
    for place in (-1, 2):
        chosen = Dataset.choose_from_datasets([numbers, numbers], Dataset.from_tensor_slices(np.array([place])))
        with pytest.raises(ValueError, match=f"one of 2 data sets, got {place}"):
            list(chosen)
    for index in (-1, 2):
        with pytest.raises(ValueError, match="index from 0 to 1"):
            numbers.shard(2, index)
