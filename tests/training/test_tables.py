"""Tables of pandas and sparse matrices of SciPy as data."""

import numpy as np
import pytest

import nacre as keras


def classifier():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("form", ["csr_matrix", "coo_matrix", "csc_matrix", "csr_array"])
def test_sparse_matrices_are_filled_up(form):
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy: pip install scipy")
    dense = np.random.default_rng(0).random((9, 3)) * (np.arange(27).reshape(9, 3) % 2)
    x, y = getattr(sparse, form)(dense), np.arange(9) % 2
    model = classifier()
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(dense, verbose=0))
    history = model.fit(x, y, epochs=2, batch_size=4, validation_split=0.3, verbose=0).history
    assert list(history) == ["loss", "val_loss"] and model.evaluate(x, y, verbose=0) > 0


def test_a_sparse_matrix_that_does_not_fit_into_memory_is_refused():
    sparse = pytest.importorskip("scipy.sparse", reason="needs SciPy: pip install scipy")
    with pytest.raises(MemoryError, match="are free"):
        classifier().predict(sparse.csr_matrix((10**8, 10**7)), verbose=0)


def test_tables_with_columns_of_several_kinds():
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install pandas")
    table = pandas.DataFrame({"a": [0.5, 1.5, 2.5], "b": [True, False, True], "c": [1, 2, 3]})
    dense = table.to_numpy(dtype="float32")
    model = classifier()
    np.testing.assert_array_equal(model.predict(table, verbose=0), model.predict(dense, verbose=0))
    model.fit(table, pandas.Series([0, 1, 0], name="label"), verbose=0)
    whole = table.assign(c=pandas.array([1, 2, 3], dtype="Int64"))
    np.testing.assert_array_equal(model.predict(whole, verbose=0), model.predict(dense, verbose=0))
    holes = table.assign(c=pandas.array([1, None, 3], dtype="Int64"))
    assert np.isnan(model.predict(holes, verbose=0)).tolist() == [[False] * 2, [True] * 2, [False] * 2]
    with pytest.raises(ValueError, match=r"column 'c'.*Expected columns of numbers"):
        model.predict(table.assign(c=["x", "y", "z"]), verbose=0)
    with pytest.raises(ValueError, match="Invalid dtype: category of column 'c'"):
        model.predict(table.assign(c=pandas.Categorical(["x", "y", "x"])), verbose=0)
