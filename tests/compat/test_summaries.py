"""`tf.summary` writes event files as TensorBoard reads them, one event a step, within compiled functions too."""

import struct
import warnings

import numpy as np
import pytest

import nacre
from callbacks.test_tensorboard import events, fields
from nacre.compat import tensorflow as tf


def strings(value):
    return [part for number, part in fields(value[8]) if number == 8]


def test_each_step_of_a_function_writes_its_number(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))

    @tf.function
    def step(x, i):
        loss = tf.reduce_mean(x)
        with writer.as_default():
            assert tf.summary.scalar("loss", loss, step=i)
        return loss

    for i in range(3):
        step(tf.ones((2,)) * i, tf.constant(i))
    writer.close()
    found = [(e.get(2), struct.unpack("<f", struct.pack("<f", v[2]))[0]) for e in events(tmp_path) for v in e["values"]]
    assert found == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_a_train_step_of_ones_own_writes_at_each_step(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))

    class Model(nacre.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            with writer.as_default(step=self.optimizer.iterations):
                tf.summary.scalar("loss", logs["loss"])
            return logs

    inputs = nacre.Input((3,))
    model = Model(inputs, nacre.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it runs eagerly
        model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=4, verbose=0)
    assert [e[2] for e in events(tmp_path) if e["values"]] == [1, 2]


def test_pictures_and_texts_carry_the_names_of_what_shows_them(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    writer = tf.summary.create_file_writer(tmp_path)
    with writer.as_default(step=7):
        tf.summary.image("im", pixels / np.float32(255))
        tf.summary.image("grey", pixels[:1, :, :, :1])
        tf.summary.text("t", ["a", "b"])
        tf.summary.histogram("h", np.arange(10.0))
        with pytest.raises(ValueError, match=r"\(N, H, W, C\)"):
            tf.summary.image("im", pixels[0])
        with pytest.raises(ValueError, match="1 to 4 channels"):
            tf.summary.image("im", np.zeros((1, 2, 2, 5), "uint8"))
    writer.close()
    assert not writer.add(b"", 8)  # it is closed
    values = {v[1]: v for e in events(tmp_path) for v in e["values"]}
    assert [b"images" in values[b"im"][9], b"text" in values[b"t"][9]] == [True, True]
    width, height, *pictures = strings(values[b"im"])
    assert (width, height, len(pictures)) == (b"6", b"4", 3) and strings(values[b"t"]) == [b"a", b"b"]
    image = pytest.importorskip("PIL.Image")
    import io

    assert (np.asarray(image.open(io.BytesIO(pictures[2]))) == pixels[2]).all()
    assert (np.asarray(image.open(io.BytesIO(strings(values[b"grey"])[2]))) == pixels[0, :, :, 0]).all()


def test_what_is_written_where(tmp_path):
    assert not tf.summary.scalar("x", 1.0, step=0)  # no writer
    writer = tf.summary.create_file_writer(tmp_path)
    with writer.as_default():
        with pytest.raises(ValueError, match="No step set"):
            tf.summary.scalar("x", 1.0)
        tf.summary.experimental.set_step(tf.Variable(3))
        assert int(tf.summary.experimental.get_step()) == 3 and tf.summary.scalar("x", 1.0)
        tf.summary.experimental.set_step(None)
        with tf.summary.record_if(lambda: False):
            assert not tf.summary.should_record_summaries() and not tf.summary.scalar("x", 2.0, step=4)
        with tf.summary.create_noop_writer().as_default():
            assert not tf.summary.scalar("x", 3.0, step=5)
    writer.set_as_default(step=8)
    try:
        assert tf.summary.scalar("x", 4.0)
    finally:
        tf.summary.create_noop_writer().set_as_default()
    writer.flush()
    writer.close()
    assert [(e[2], e["values"][0][2]) for e in events(tmp_path) if e["values"]] == [(3, 1.0), (8, 4.0)]
