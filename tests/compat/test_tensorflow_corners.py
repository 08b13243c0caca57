"""Names of TensorFlow that few programs use: classes drawn, rows, sets, files. Numbers are those of TensorFlow 2.21."""

import numpy as np
import pytest

from nacre import layers, models
from nacre.compat import tensorflow as tf

SOME = np.array([-3.5, -1.2, -0.3, 0.1, 0.5, 1.0, 1.5, 2.0, 3.7, 10.0, 50.0, 1000.0], np.float32)


def test_logarithms_of_the_gamma_function_and_their_derivatives():
    expected = [-1.3090, 1.5792, 1.4648, 2.2527, 0.5724, 0, -0.1208, 0, 1.4281, 12.8018, 144.5659, 5905.2204]
    np.testing.assert_allclose(tf.math.lgamma(SOME), expected, rtol=2e-4, atol=1e-4)
    slopes = [1.3889, 4.8683, 2.1133, -10.4238, -1.9635, -0.5772, 0.0365, 0.4228, 1.1672, 2.2518, 3.9020, 6.9073]
    np.testing.assert_allclose(tf.math.digamma(SOME), slopes, atol=1e-4)
    x = tf.constant(SOME)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.math.lgamma(x)
    np.testing.assert_allclose(tape.gradient(y, x), slopes, atol=1e-4)
    assert np.isposinf(tf.math.lgamma([0.0, -1.0, -2.0])).all() and np.isnan(tf.math.digamma([0.0, -3.0])).all()
    np.testing.assert_allclose(tf.math.lbeta([[1.0, 2.0], [0.5, 0.3]]), [-0.6931, 1.5161], atol=1e-4)


def test_running_sums_of_exponentials_and_orders():
    np.testing.assert_allclose(tf.math.cumulative_logsumexp([1.0, 2, 3, -5]), [1, 2.3133, 3.4076, 3.4078], atol=1e-4)
    found = tf.math.cumulative_logsumexp([[1.0, 2], [3, -5]], axis=1, exclusive=True, reverse=True)
    assert found.numpy().tolist() == [[2, -np.inf], [-5, -np.inf]]
    assert bool(tf.math.is_non_decreasing([1, 1, 2])) and not bool(tf.math.is_strictly_increasing([1, 1, 2]))
    np.testing.assert_allclose(tf.math.ndtri([0.3, 0.7]), [-0.5244, 0.5244], atol=1e-4)


@pytest.mark.parametrize("unique", [True, False])
def test_words_are_drawn_as_often_as_they_come(unique):
    draws = [tf.random.log_uniform_candidate_sampler(np.array([[3]]), 1, 4, unique, 50, seed=5) for _ in range(300)]
    drawn = np.array([d.sampled_candidates for d in draws])
    assert drawn.dtype == np.int64 and drawn.shape == (300, 4) and draws[0].true_expected_count.shape == (1, 1)
    assert not unique or all(len(set(row)) == 4 for row in drawn.tolist())
    often = np.bincount(drawn.ravel(), minlength=50) / 300
    expected = draws[0].true_expected_count.numpy()[0, 0]
    assert abs(often[3] - expected) < 0.1 and often[0] > often[3] > often[40]


def test_losses_of_the_words_that_were_drawn():
    rng = np.random.RandomState(3)
    weights, biases = tf.Variable(rng.randn(50, 8).astype("float32")), tf.Variable(np.zeros(50, "float32"))
    inputs, labels = np.random.RandomState(4).randn(5, 8).astype("float32"), np.array([[1], [4], [20], [7], [33]])
    drawn = (np.array([2, 4, 9]), np.full((5, 1), 0.3, "float32"), np.array([0.3, 0.2, 0.1], "float32"))
    softmax = tf.nn.sampled_softmax_loss(weights, biases, labels, inputs, 3, 50, sampled_values=drawn)
    every = inputs @ weights.numpy().T
    chosen = np.concatenate([np.take_along_axis(every, labels, 1) - np.log(0.3), every[:, [2, 4, 9]]], 1)
    chosen[:, 1:] -= np.log([0.3, 0.2, 0.1])
    chosen[1, 2] = -np.inf  # the true class itself
    np.testing.assert_allclose(softmax, np.log(np.exp(chosen).sum(1)) - chosen[:, 0], rtol=1e-5)
    optimizer = tf.keras.optimizers.SGD(0.1)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.nce_loss(weights, biases, labels, inputs, 8, 50))
        optimizer.apply_gradients(zip(tape.gradient(loss, [weights, biases]), [weights, biases]))
        return loss

    losses = [float(step()) for _ in range(30)]
    assert losses[-1] < losses[0] and len(set(losses)) > 20  # others are drawn each time


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_maxima_and_their_places_in_the_picture(padding):
    x = np.random.RandomState(0).randn(2, 5, 6, 3).astype("float32")
    found = tf.nn.max_pool_with_argmax(x, 3, 2, padding, include_batch_in_index=True)
    np.testing.assert_array_equal(x.ravel()[found.argmax.numpy()], found.output)
    np.testing.assert_array_equal(found.output, tf.nn.max_pool2d(x, 3, 2, padding))
    assert found.argmax.dtype == "int64"


def test_labels_of_a_recognizer_as_sparse_tensors():
    logits = np.random.RandomState(1).randn(6, 2, 4).astype("float32")
    (greedy,), scores = tf.nn.ctc_greedy_decoder(logits, [6, 5])
    best = logits.argmax(-1).T
    for row, length, path in zip(best, (6, 5), tf.sparse.to_dense(greedy, -1).numpy()):
        merged = [int(c) for i, c in enumerate(row[:length]) if (i == 0 or c != row[i - 1]) and c != 3]
        assert [c for c in path.tolist() if c >= 0] == merged
    assert scores.shape == (2, 1)
    paths, scores = tf.nn.ctc_beam_search_decoder(logits, [6, 5], beam_width=5, top_paths=2)
    assert len(paths) == 2 and scores.shape == (2, 2)


def test_rows_of_different_lengths_are_joined_cut_and_summed():
    rows = tf.ragged.constant([[1, 2], [], [3]])
    assert tf.concat([rows, tf.ragged.constant([[4]])], axis=0).to_list() == [[1, 2], [], [3], [4]]
    assert tf.concat([rows, tf.ragged.constant([[7], [8], [9]])], axis=1).to_list() == [[1, 2, 7], [8], [3, 9]]
    assert rows[1:].to_list() == [[], [3]] and rows[:, :1].to_list() == [[1], [], [3]]
    assert (rows * 2 + 1).to_list() == [[3, 5], [], [7]]
    assert tf.reduce_sum(rows, axis=1).numpy().tolist() == [3, 0, 3] and int(tf.reduce_sum(rows)) == 6
    assert tf.reduce_max(tf.ragged.constant([[1, 5], [4]]), axis=0).numpy().tolist() == [4, 5]
    assert tf.ragged.map_flat_values(lambda v: v * v, rows).to_list() == [[1, 4], [], [9]]
    assert tf.RaggedTensor.from_tensor([[1, 2, 0], [3, 0, 0]], padding=0).to_list() == [[1, 2], [3]]
    assert tf.RaggedTensor.from_value_rowids([1, 2, 3], [0, 0, 2]).to_list() == rows.to_list()
    assert rows.row_splits.numpy().tolist() == [0, 2, 2, 3]
    assert tf.strings.unicode_encode(tf.ragged.constant([[68, 69], [71], []]), "UTF-8").tolist() == ["DE", "G", ""]
    with pytest.raises(ValueError, match="same lengths"):
        rows + tf.ragged.constant([[1], [2], [3]])


def test_sparse_tensors_are_scaled_added_and_turned():
    sparse = tf.SparseTensor(indices=[[0, 1], [1, 0], [2, 3]], values=[1.0, 2.0, 3.0], dense_shape=[3, 4])
    assert sparse.indices.dtype == "int64" and sparse.values.numpy().tolist() == [1, 2, 3]
    dense = tf.sparse.to_dense(sparse).numpy()
    np.testing.assert_array_equal(tf.sparse.to_dense(sparse * 42.0), dense * 42)
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.add(sparse, sparse)), dense * 2)
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.transpose(sparse)), dense.T)
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.reshape(sparse, [4, -1])), dense.reshape(4, 3))
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.concat(1, [sparse, sparse])), np.hstack([dense, dense]))
    np.testing.assert_array_equal(tf.sparse.to_dense(tf.sparse.eye(2, 3)), np.eye(2, 3))
    assert tf.sparse.reduce_sum(sparse, axis=1).numpy().tolist() == [1, 2, 3]
    assert tf.RaggedTensor.from_sparse(tf.SparseTensor([[0, 0], [0, 1], [2, 0]], [5, 6, 7], [3, 2])).to_list() == [
        [5, 6], [], [7],
    ]  # fmt: skip
    with pytest.raises(TypeError, match=r"tf\.sparse\.add"):
        sparse + 42.0


def test_sets_along_the_last_axis():
    a, b = tf.constant([[1, 5, 9]]), tf.constant([[5, 6, 9, 11]])
    assert tf.sparse.to_dense(tf.sets.union(a, b)).numpy().tolist() == [[1, 5, 6, 9, 11]]
    assert tf.sparse.to_dense(tf.sets.difference(a, b)).numpy().tolist() == [[1]]
    assert tf.sparse.to_dense(tf.sets.intersection(a, b)).numpy().tolist() == [[5, 9]]
    assert tf.sets.size(tf.sets.union(a, b)).numpy().tolist() == [5]


def test_data_sets_are_saved_and_loaded(tmp_path):
    pictures = tf.data.Dataset.from_tensor_slices(
        {"x": np.arange(6, dtype=np.float32).reshape(3, 2), "name": ["a", "bb", ""]}
    ).enumerate()
    pictures.save(str(tmp_path / "d"))
    loaded = tf.data.Dataset.load(str(tmp_path / "d"))
    assert len(loaded) == 3 and loaded.element_spec[1]["x"].shape == (2,)
    for (n, element), (m, other) in zip(pictures, loaded, strict=True):
        assert int(n) == int(m) and element["name"].numpy() == other["name"].numpy()
        np.testing.assert_array_equal(element["x"], other["x"])
    rows = tf.data.Dataset.from_generator(lambda: iter([[1], [2, 3]]), output_signature=tf.TensorSpec([None], tf.int32))
    rows.save(tmp_path / "d", compression="GZIP")  # in the place of the other one
    assert [r.numpy().tolist() for r in tf.data.Dataset.load(tmp_path / "d")] == [[1], [2, 3]]
    with pytest.raises(ValueError, match="no end"):
        rows.repeat().save(tmp_path / "e")
    with pytest.raises(FileNotFoundError, match="TensorFlow wrote are not read"):
        tf.data.Dataset.load(tmp_path / "nothing")
    file = tmp_path / "d" / "elements.npz"
    with np.load(file) as arrays:
        damaged = dict(arrays) | {"shapes0": np.array([[5], [2]])}
    np.savez(file, **damaged)
    with pytest.raises(ValueError, match="is damaged"):
        tf.data.Dataset.load(tmp_path / "d")


def test_data_sets_count_resample_and_iterate_by_name():
    assert [int(n) for n in tf.data.Dataset.counter(start=2, step=3).take(2)] == [2, 5]
    assert len({int(n) for n in tf.data.Dataset.random(seed=1).take(5)}) == 5
    rows = tf.data.Dataset.from_generator(lambda: iter([[1], [2, 3]]), output_signature=tf.TensorSpec([None], tf.int32))
    assert next(iter(rows.ragged_batch(2))).to_list() == [[1], [2, 3]]
    iterator = iter(tf.data.Dataset.range(3))
    assert int(iterator.get_next()) == 0 and int(next(iterator)) == 1
    assert tf.data.Dataset.range(3).as_numpy_iterator().next() == 0
    numbers = tf.data.Dataset.range(1000).map(lambda x: tf.where(x % 10 == 0, 1, 0))
    kept = [int(k) for k, _ in numbers.rejection_resample(lambda x: x, [0.5, 0.5], [0.9, 0.1], seed=1)]
    assert 0.3 < np.mean(kept) < 0.7
    safe = tf.data.Dataset.range(4).map(lambda x: tf.debugging.assert_less(x, 3) or x).ignore_errors()
    assert [int(x) for x in safe] == [0, 1, 2]


def test_words_are_defaults_of_columns():
    found = tf.io.decode_csv(",,,,5", [0, np.nan, tf.constant(np.nan, dtype=tf.float64), "Hello", tf.constant([])])
    assert int(found[0]) == 0 and np.isnan(found[1]) and found[3].numpy() == b"Hello" and float(found[4]) == 5


def test_a_function_says_which_shape_it_takes():
    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def halved(x):
        return x[:, ::2]

    assert halved(tf.zeros([5, 4])).shape == (5, 2)
    with pytest.raises(TypeError, match=r"argument 0 has shape \(5, 3\), but input_signature says \(None, 4\)"):
        halved(tf.zeros([5, 3]))

    class Holder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
        def __call__(self, x):
            return x * 2

    assert float(Holder()(tf.ones([1, 4]))[0, 0]) == 2
    assert "x[:, ::2]" in tf.autograph.to_code(halved.python_function)


def test_parts_are_put_together_and_read_as_other_numbers():
    assert tf.dynamic_stitch([[0, 2], [1]], [[1.0, 3.0], [2.0]]).numpy().tolist() == [1, 2, 3]
    t = tf.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert tf.strided_slice(t, [0, 0], [2, 2]).numpy().tolist() == [[1, 2], [4, 5]]
    assert tf.strided_slice(t, [1, 0], [2, 3], shrink_axis_mask=1).numpy().tolist() == [4, 5, 6]
    assert int(tf.bitcast(tf.constant(1.0), tf.int32)) == 1065353216
    assert float(tf.timestamp()) > 1e9 and len(tf.identity_n([t, t])) == 2


@pytest.mark.parametrize(("name", "instead"), [("saved_model", "onnx"), ("lite", "onnx"), ("Session", "at once")])
def test_what_is_missing_says_what_to_do(name, instead):
    with pytest.raises(AttributeError, match=f"no attribute '{name}'.*{instead}"):
        getattr(tf, name)


def test_a_model_trains_on_a_loaded_data_set(tmp_path):
    rng = np.random.default_rng(0)
    data = tf.data.Dataset.from_tensor_slices((rng.random((32, 3), np.float32), rng.random((32, 1), np.float32)))
    data.batch(8).save(tmp_path / "d")
    model = models.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse")
    losses = model.fit(tf.data.Dataset.load(tmp_path / "d"), epochs=2, verbose=0).history["loss"]
    assert losses[1] < losses[0]


def test_a_module_knows_those_inside_of_it():
    class Dense(tf.Module):
        def __init__(self, frozen=False):
            super().__init__()
            self.w = tf.Variable([1.0], trainable=not frozen)

        @tf.Module.with_name_scope
        def __call__(self, x):
            return x * self.w

    class Chain(tf.Module):
        def __init__(self):
            super().__init__(name="chain")
            self.layers = [Dense(), Dense(frozen=True)]

    chain = Chain()
    assert chain.submodules == tuple(chain.layers) and len(chain.trainable_variables) == 1
    assert chain.non_trainable_variables == (chain.layers[1].w,) and float(chain.layers[0](2.0)[0]) == 2
