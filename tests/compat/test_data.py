import numpy as np
import pytest

import nacre
from nacre.compat.data import AUTOTUNE, Dataset

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
