"""Functions that are no operations tell of what they were given by mistake, too."""

import numpy as np
import pytest

import nacre as keras
from nacre.compat import tensorflow as tf


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: keras.losses.sparse_categorical_crossentropy(2, -1.5), "sparse_categorical_crossentropy"),
        (lambda: keras.losses.ctc(None, np.zeros((2, 3, 4))), "ctc"),
        (lambda: keras.metrics.sparse_categorical_accuracy(1, 0.5), "sparse_categorical_accuracy"),
        (lambda: keras.utils.bounding_boxes.compute_ciou([1], [2], 7), "compute_ciou"),
        (lambda: keras.backend.batch_flatten({"a": 1}), "batch_flatten"),
        (lambda: keras.backend.set_value("x", 1), "set_value"),
        (lambda: tf.strings.reduce_join(["a"], separator=0.5), "reduce_join"),
        (lambda: tf.strings.format(len, 1), "format"),
        (lambda: tf.image.draw_bounding_boxes(object(), 1, 1), "draw_bounding_boxes"),
        (lambda: tf.nn.bias_add(np.float32(1), [1.0]), "bias_add"),
        (lambda: tf.linalg.set_diag(np.float32(1), np.float32(1)), "set_diag"),
    ],
)
def test_an_accident_names_the_function_and_what_it_got(call, name):
    with pytest.raises((TypeError, ValueError), match=name):
        call()
