"""Forms of TensorFlow's own tutorials: checkpoints, Variables handed to functions, text, files, parts of tensors."""

import wave

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
    lookup = nacre.layers.StringLookup(vocabulary=["h", "ä"], mask_token=None)
    assert np.array(lookup(letters)).tolist() == [1, 2, 1]


@pytest.mark.parametrize("words", [["hä", "h"], ["hä", "xh"]])
def test_characters_of_several_texts_are_rows_that_lookups_keep_apart(words):
    lookup = nacre.layers.StringLookup(vocabulary=["h", "ä"], mask_token=None)
    back = nacre.layers.StringLookup(vocabulary=lookup.get_vocabulary(), invert=True, mask_token=None)

    @tf.function
    def numbers(texts):
        return lookup(tf.strings.unicode_split(texts, "UTF-8"))

    found = numbers(tf.constant(words))
    assert found.shape == (2, None) and int(found.nrows()) == 2
    assert found.to_tensor().numpy().tolist() == [[1, 2], [1, 0] if words[1] == "h" else [0, 1]]
    expected = [w.replace("x", "[UNK]").encode() for w in words]
    assert tf.strings.reduce_join(back(found), axis=-1).numpy().tolist() == expected
    assert back(found).to_list()[0] == [b"h", "ä".encode()] and tf.as_string([1, 2]).numpy().tolist() == [b"1", b"2"]


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


def test_pictures_are_cut_out_put_in_and_resized_as_a_whole():
    x = np.arange(48.0, dtype="float32").reshape(4, 4, 3)
    assert np.array_equal(tf.image.crop_to_bounding_box(x[None], 1, 2, 3, 1), x[None, 1:4, 2:3])
    wide = tf.image.pad_to_bounding_box(x, 1, 2, 6, 9)
    assert wide.shape == (6, 9, 3) and np.array_equal(wide[1:5, 2:6], x) and float(np.sum(wide)) == x.sum()
    assert tf.image.resize(np.zeros((40, 100, 3)), (32, 50), preserve_aspect_ratio=True).shape == (20, 50, 3)
    assert tf.image.resize(np.zeros((2, 40, 10, 1)), (32, 50), preserve_aspect_ratio=True).shape == (2, 32, 8, 1)


def test_sounds_are_read_and_looked_at_by_frequency(tmp_path):
    rng = np.random.default_rng(0)
    samples = rng.integers(-30000, 30000, 1000).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    audio, rate = tf.audio.decode_wav(tf.io.read_file(str(tmp_path / "a.wav")), 1, 1200)
    assert int(rate) == 8000 and audio.shape == (1200, 1) and not np.any(audio[1000:])
    x = tf.squeeze(audio, -1)
    assert np.array_equal(x[:1000], samples / np.float32(32768))
    found = tf.abs(tf.signal.stft(x, frame_length=200, frame_step=80))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(200) / 200)
    frames = np.stack([np.asarray(x, float)[i : i + 200] * window for i in range(0, 1001, 80)])
    assert found.shape == (13, 129) and found.dtype == "float32"
    assert np.allclose(found, np.abs(np.fft.rfft(frames, 256)), atol=1e-4)
    turned = tf.expand_dims(tf.signal.fft(tf.cast(tf.complex(real=x, imag=tf.zeros_like(x)), tf.complex64)), -1)
    assert np.allclose(tf.math.abs(turned[:7]), np.abs(np.fft.fft(x))[:7, None], atol=1e-3)
    assert np.allclose(tf.signal.irfft(tf.signal.rfft(x)), x, atol=1e-5)
    with pytest.raises(ValueError, match="expected 2 channels, got 1"):
        tf.audio.decode_wav(tf.io.read_file(str(tmp_path / "a.wav")), 2)


def test_distances_of_labels_of_different_lengths():
    truth = tf.sparse.from_dense([[1, 2, 3, 0], [4, 0, 0, 0], [0, 0, 0, 0]])
    assert truth.shape == (3, 4) and np.array_equal(tf.sparse.to_dense(truth)[1], [4, 0, 0, 0])
    guess = tf.cast(tf.sparse.from_dense([[1, 3, 0], [4, 4, 4], [5, 0, 0]]), tf.int64)
    assert tf.edit_distance(guess, truth, normalize=False).numpy().tolist() == [1, 2, 1]
    assert tf.edit_distance(guess, guess._replace(values=truth.values)).numpy()[0] < 1
    assert np.isinf(tf.edit_distance(guess, tf.cast(truth, tf.int64))[2])


def test_colours_are_split_and_areas_are_means():
    x = np.random.default_rng(0).uniform(size=(2, 6, 9, 3)).astype("float32")
    yuv = tf.image.rgb_to_yuv(x)
    assert np.allclose(yuv[..., 0], x @ [0.299, 0.587, 0.114], atol=1e-6)
    assert np.allclose(tf.image.rgb_to_yuv([1.0, 0.0, 0.0]), [0.299, -0.14714, 0.61498], atol=1e-5)
    assert np.allclose(tf.image.yuv_to_rgb(yuv), x, atol=1e-5)
    means = x.reshape(2, 2, 3, 3, 3, 3).mean((2, 4))
    assert np.allclose(tf.image.resize(x, (2, 3), method="area"), means, atol=1e-6)
    assert np.allclose(tf.image.resize([[[1.0], [2.0], [6.0]]], (1, 2), method="area")[0, :, 0], [4 / 3, 14 / 3])


@pytest.mark.parametrize("rows", [[["a"], ["b", "a"], ["c", "a"]], [["a"], ["b"], ["c"], ["a"]]])
def test_rows_of_several_lengths_are_looked_up(rows):
    lookup = nacre.layers.StringLookup(output_mode="multi_hot")
    lookup.adapt(tf.ragged.constant(rows))
    assert lookup.get_vocabulary()[:2] == ["[UNK]", "a"]
    found = lookup(tf.ragged.constant(rows)).numpy()
    assert found.tolist() == [[float(word in row) for word in lookup.get_vocabulary()] for row in rows]
    with pytest.raises(ValueError, match="rows of several lengths have no 'one_hot' output"):
        nacre.layers.StringLookup(vocabulary=["a"], output_mode="one_hot")(tf.ragged.constant([["a"], ["a", "b"]]))


def test_tensors_say_and_check_their_shape():
    x = tf.zeros((2, 3))
    assert x.get_shape().as_list() == [2, 3] and x.set_shape([None, 3]) is None
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        x.set_shape([None, 4])
    with pytest.raises(ValueError, match="expected a tensor of shape"):
        x.set_shape([None, None, 3])
    assert tf.cast([1], tf.dtypes.float64).dtype == "float64"


def test_gamma_draws_so_many_of_each():
    nacre.utils.set_random_seed(0)
    x = tf.random.gamma([4000, 2], [0.5, 2.0, 9.0], beta=4.0).numpy()
    assert x.shape == (4000, 2, 3) and np.allclose(x.mean((0, 1)), [0.125, 0.5, 2.25], rtol=0.1)
    assert tf.random.gamma([5], 0.25).shape == (5,)


def test_pictures_have_the_channels_of_their_file_or_those_asked_for(tmp_path):
    images = pytest.importorskip("PIL.Image", reason="needs Pillow: pip install pillow")
    grey = np.arange(12, dtype="uint8").reshape(3, 4)
    for name, x in (
        ("a.png", grey),
        ("a.bmp", grey),
        ("b.png", np.stack([grey] * 3, -1)),
        ("c.png", np.stack([grey] * 4, -1)),
    ):
        images.fromarray(x).save(tmp_path / name)
        data = tf.io.read_file(str(tmp_path / name))
        own = tf.image.decode_image(data) if name != "a.bmp" else tf.image.decode_bmp(data, channels=0)
        assert np.array_equal(own, x[..., None] if x.ndim == 2 else x)
        assert tf.io.decode_png(data, channels=3).shape == (3, 4, 3) and tf.io.decode_png(data, 1).shape == (3, 4, 1)
    with pytest.raises(ValueError, match="expected 0, 1, 3 or 4 channels, got 2"):
        tf.io.decode_png(data, channels=2)
