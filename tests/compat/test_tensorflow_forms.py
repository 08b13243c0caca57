"""Forms of TensorFlow's own tutorials: checkpoints, Variables handed to functions, text, files, parts of tensors."""

import numpy as np
import pytest

import nacre
from compat.test_install import run
from nacre.compat import checkpoints
from nacre.compat import tensorflow as tf


def network():
    model = nacre.Sequential([nacre.Input((3,)), nacre.layers.Dense(2)])
    optimizer = nacre.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def test_a_checkpoint_holds_models_optimizers_and_variables(tmp_path):
    model, optimizer = network()
    step = tf.Variable(7)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer, step=step)
    saved = checkpoint.save(tmp_path / "deep" / "ckpt")
    assert saved.endswith("ckpt-1") and tf.train.latest_checkpoint(tmp_path / "deep") == saved
    before = model.get_weights()
    optimizer.apply([np.ones(v.shape, "float32") for v in model.trainable_variables])
    step.assign(9)
    checkpoint.restore(saved).assert_consumed()
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    assert int(step) == 7 and int(optimizer.iterations) == 0
    assert checkpoint.save(tmp_path / "deep" / "ckpt").endswith("ckpt-2")


class Two(nacre.Model):
    """Layers that no attribute says the inputs of, and one that comes with `build`."""

    def __init__(self):
        super().__init__()
        self.first = nacre.layers.Dense(4, activation="relu")
        self.rest = nacre.Sequential([nacre.layers.BatchNormalization(), nacre.layers.Dense(2)])

    def call(self, x, training=False):
        return self.rest(self.first(x), training=training)


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_not_built_yet_is_restored_when_it_is(tmp_path, compiled):
    x, y = np.random.default_rng(0).standard_normal((2, 8, 2)).astype("float32")

    def made():
        model, optimizer = Two(), nacre.optimizers.Adam(0.1)
        return model, optimizer, tf.train.Checkpoint(model=model, optimizer=optimizer)

    def trainer(model, optimizer):
        def train():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
            optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
            return loss

        return tf.function(train) if compiled else train

    model, optimizer, checkpoint = made()
    train = trainer(model, optimizer)
    train()
    saved = checkpoint.save(tmp_path / "x")
    expected = [float(train()) for _ in range(3)]
    model, optimizer, checkpoint = made()
    status = checkpoint.restore(saved).expect_partial()
    assert int(optimizer.iterations) == 1
    with pytest.raises(AssertionError, match="not built yet"):
        status.assert_consumed()
    train = trainer(model, optimizer)
    assert [float(train()) for _ in range(3)] == expected and int(optimizer.iterations) == 4
    status.assert_consumed()
    model, optimizer, checkpoint = made()
    checkpoint.restore(saved)
    if not compiled:
        model(x)  # built by a call, and else by the step
    model.compile(optimizer, "mse")
    assert model.train_on_batch(x, y) == pytest.approx(expected[0], rel=1e-6) and int(optimizer.iterations) == 2


def test_nothing_saved_yet_restores_nothing_and_what_does_not_fit_is_an_error(tmp_path):
    model, optimizer = network()
    checkpoint = checkpoints.Checkpoint(model=model, optimizer=optimizer)
    assert tf.train.latest_checkpoint(tmp_path) is None
    checkpoint.restore(tf.train.latest_checkpoint(tmp_path)).expect_partial()
    saved = checkpoint.save(tmp_path / "x")
    other = nacre.Sequential([nacre.Input((4,)), nacre.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"could not be loaded|shape"):
        checkpoints.Checkpoint(model=other, optimizer=optimizer).restore(saved)
    with pytest.raises(FileNotFoundError):
        checkpoint.restore(tmp_path / "absent")


def test_a_manager_keeps_the_newest(tmp_path):
    model, _ = network()
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(model), tmp_path, max_to_keep=2)
    assert manager.latest_checkpoint is None
    names = [manager.save() for _ in range(4)]
    assert manager.checkpoints == names[-2:] and manager.latest_checkpoint == names[-1]
    assert manager.restore_or_initialize() == names[-1]


def test_a_variable_handed_to_a_function_is_itself():
    image, other = tf.Variable(np.ones((2, 2), "float32")), tf.Variable(np.zeros((2, 2), "float32"))
    optimizer = nacre.optimizers.SGD(0.5)

    @tf.function
    def step(x, factor):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(x)) * factor
        optimizer.apply_gradients([(tape.gradient(loss, x), x)])
        x.assign(tf.clip_by_value(x, 0.1, 1.0))
        return loss

    assert float(step(image, tf.constant(1.0))) == 4.0
    np.testing.assert_allclose(image.numpy(), 0.1)
    optimizer = nacre.optimizers.SGD(0.5)
    assert float(step(other, tf.constant(1.0))) == 0.0
    np.testing.assert_allclose(other.numpy(), 0.1)
    np.testing.assert_allclose(image.numpy(), 0.1)


def test_split_takes_a_number_of_parts_or_their_sizes():
    x = np.arange(10).reshape(1, 10)
    assert [p.shape[1] for p in tf.split(x, num_or_size_splits=2, axis=1)] == [5, 5]
    a, b, c = tf.split(x, [2, -1, 3], axis=1)
    assert (a.shape[1], b.shape[1], c.shape[1]) == (2, 5, 3) and np.array_equal(b, x[:, 2:7])
    with pytest.raises(ValueError, match="do not add up to 10"):
        tf.split(x, [2, 3], axis=1)


def test_characters_and_elements_of_text_are_text():
    letters = tf.strings.unicode_split("häh", "UTF-8")
    assert letters.numpy().tolist() == [b"h", "ä".encode(), b"h"] and letters[1].numpy() == "ä".encode()
    assert tf.strings.unicode_split(["ab", "cd"]).shape == (2, 2)
    assert [len(row) for row in tf.strings.unicode_split(["ab", "c"])] == [2, 1]
    lookup = nacre.layers.StringLookup(vocabulary=["h", "ä"], mask_token=None)
    assert np.array(lookup(letters)).tolist() == [1, 2, 1]


def test_files_are_listed_in_order_or_shuffled(tmp_path):
    for name in ("b.txt", "a.txt", "c.csv"):
        (tmp_path / name).write_text(name)
    files = [str(np.asarray(f)) for f in tf.data.Dataset.list_files(str(tmp_path / "*.txt"), shuffle=False)]
    assert files == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    both = tf.data.Dataset.list_files([str(tmp_path / "*.txt"), str(tmp_path / "*.csv")])
    assert sorted(str(np.asarray(f))[-5:] for f in both) == ["a.txt", "b.txt", "c.csv"]
    with pytest.raises(ValueError, match="no file matches"):
        tf.data.Dataset.list_files(str(tmp_path / "*.png"))


def test_a_function_from_one_layer_to_another():
    run(
        """
        import numpy as np
        from tensorflow import keras
        from tensorflow.keras import backend as K
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)])
        hidden = K.function([model.input], [model.layers[0].output])([np.ones((2, 3))])
        assert type(hidden) is list and type(hidden[0]) is np.ndarray and hidden[0].shape == (2, 4)
        rest = K.function(model.layers[0].output, model.output)(hidden[0])
        assert np.allclose(rest, model.predict(np.ones((2, 3)), verbose=0), atol=1e-6)
        """
    )


def test_strings_are_bytes_unless_an_encoding_is_given() -> None:
    from nacre.compat import strings

    assert strings.lower("É A").numpy() == "É a".encode() and strings.lower("É A", "utf-8").numpy() == "é a".encode()
    assert strings.upper("é a").numpy() == "é A".encode()
    assert strings.split("a\u00a0b c").tolist() == ["a\u00a0b", "c"]
    assert strings.split("a,b", ",").tolist() == ["a", "b"]


def test_initializers_and_numpy_under_tensorflows_names() -> None:
    assert tf.random_normal_initializer(stddev=0.1, seed=1)((3, 2)).shape == (3, 2)
    assert tf.zeros_initializer()((2,)).numpy().tolist() == [0, 0]
    assert tf.experimental.numpy.matmul(np.ones((1, 2)), np.ones((2, 1))).numpy().tolist() == [[2]]
    assert tf.math.floordiv(7, 2) == 3 and tf.nn.conv2d(np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1)), 1, name="x").shape
