"""Names, scopes and the process; sequences of the older kind."""

import numpy as np

import nacre as keras
from nacre.preprocessing.sequence import make_sampling_table, skipgrams


def test_sources_are_the_inputs_in_front():
    a, b = keras.Input((2,)), keras.Input((2,))
    y = keras.layers.Dense(1)(keras.layers.add([a, keras.layers.Dense(2)(b)]))
    found = keras.utils.get_source_inputs(y)
    assert len(found) == 2 and {id(x) for x in found} == {id(a), id(b)}
    assert keras.utils.get_source_inputs(a) == [a]


def test_numbers_of_names_start_again_with_a_session():
    keras.utils.clear_session()
    numbers = [keras.backend.get_uid("thing") for _ in range(2)]
    keras.backend.get_uid("dense")
    assert keras.layers.Dense(1).name == "dense_1"
    keras.backend.clear_session()
    assert [*numbers, keras.backend.get_uid("thing")] == [1, 2, 1] and keras.layers.Dense(1).name == "dense"


def test_scopes_name_variables_and_devices_do_nothing():
    with keras.name_scope("outer"), keras.device("cpu:0"):
        assert keras.Variable(1.0, name="v").path == "outer/v"


def test_skipgrams_pair_near_words_and_random_ones():
    couples, labels = skipgrams([1, 0, 2, 3], 9, window_size=2, seed=1)
    near = sorted(c for c, label in zip(couples, labels, strict=True) if label == 1)
    assert near == [[1, 2], [2, 1], [2, 3], [3, 2]] and labels.count(0) == 4
    assert all(1 <= c[1] < 9 for c in couples)
    ordered, categorical = skipgrams([1, 2], 5, negative_samples=0.5, shuffle=False, categorical=True)
    assert ordered[:2] == [[1, 2], [2, 1]] and categorical == [[0, 1], [0, 1], [1, 0]]
    table = make_sampling_table(1000, 1e-3)
    assert table.shape == (1000,) and (np.diff(table[1:]) >= 0).all() and 0 < table[1] < 1
