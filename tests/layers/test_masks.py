"""Masks on their way from layer to layer."""

from typing import Any

import numpy as np
import pytest

from nacre import Input, Model, layers, ops


def test_a_mask_given_by_name_is_handed_on_like_that_of_the_tensor():
    x, mask = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32"), np.arange(5)[None] < [[3], [5]]
    first, second = layers.GRU(4, return_sequences=True), layers.GRU(2)
    named = second(first(x, mask=mask))
    np.testing.assert_array_equal(named.numpy(), second(first(x, mask=mask), mask=mask).numpy())
    assert not np.array_equal(named.numpy(), second(np.asarray(first(x, mask=mask))).numpy())
    symbols = Input((5, 3)), Input((5,), dtype="bool")
    model = Model(symbols, second(first(symbols[0], mask=symbols[1])))
    np.testing.assert_allclose(model.predict([x, mask], verbose=0), named.numpy(), rtol=1e-5)


class Marked(layers.Layer):
    """Twice the input, and a mask of its own."""

    def call(self, inputs):
        return inputs * 2.0

    def compute_mask(self, inputs, mask=None):
        return ops.any(inputs != 0.0, -1)


class Seen(layers.Layer):
    """The mask that came along, as numbers."""

    supports_masking = True

    def call(self, inputs, mask=None):
        return ops.zeros_like(inputs[..., 0]) - 1.0 if mask is None else ops.cast(mask, "float32")


def test_a_layer_that_computes_a_mask_hands_it_on_without_saying_so():
    x = np.array([[[1.0, 2.0], [0.0, 0.0]]], "float32")
    expected = [[1.0, 0.0]]
    np.testing.assert_array_equal(Seen()(Marked()(x)).numpy(), expected)
    symbol = Input((2, 2))
    np.testing.assert_array_equal(Model(symbol, Seen()(Marked()(symbol))).predict(x, verbose=0), expected)
    assert type("Further", (Marked,), {})().supports_masking
    silent = Marked()
    silent.supports_masking = False
    np.testing.assert_array_equal(Seen()(silent(x)).numpy(), [[-1.0, -1.0]])


def test_attention_heeds_masks_and_says_nothing_about_them(recwarn):
    tokens = np.array([[1, 2, 0]])
    for heads in (layers.MultiHeadAttention(2, 2), layers.GroupQueryAttention(2, 2, 1)):
        embedded = layers.Embedding(5, 4, mask_zero=True)(tokens)
        np.testing.assert_array_equal(heads(embedded, embedded)._keras_mask.numpy(), tokens != 0)
    assert not recwarn.list


@pytest.mark.parametrize("layer", [layers.Add(), layers.Concatenate(), layers.Dot(1), layers.Subtract()], ids=type)
def test_a_built_merge_layer_wants_a_list_as_before(layer: Any) -> None:
    x = np.ones((2, 3), "float32")
    layer([x, x])
    with pytest.raises(ValueError, match="should be called on a list of"):
        layer(x)


@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_recurrent_layers_take_a_mask_of_one_value_per_step_and_no_other(kind):
    x, mask = np.ones((2, 4, 3), "float32"), np.arange(4)[None] < [[3], [4]]
    layer = kind(2)
    np.testing.assert_array_equal(layer(x, mask=mask), layer(x, mask=mask[..., None]))
    for shape in ((2, 5), (2, 3), (3, 4), (2,)):
        with pytest.raises(ValueError, match=r"expected a mask of shape \(2, 4\), one value per step"):
            layer(x, mask=np.ones(shape, bool))
    steps, masks = Input((None, 3)), Input((4,), dtype="bool")
    assert Model([steps, masks], layer(steps, mask=masks)).predict([x, mask], verbose=0).shape == (2, 2)


@pytest.mark.parametrize("make", [lambda **kw: layers.MultiHeadAttention(2, 3, **kw),
                                  lambda **kw: layers.GroupQueryAttention(4, 2, 2, **kw)])  # fmt: skip
def test_a_query_that_may_attend_to_nothing_attends_to_all_alike(make: Any) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    mask = np.array([[True, True, False], [False, False, False]])
    layer, dropping = make(), make(dropout=0.1)
    y = np.asarray(layer(x, x, query_mask=mask, value_mask=mask))
    dropping.build(x.shape, x.shape)
    dropping.set_weights(layer.get_weights())
    assert not np.asarray(dropping(x, x, query_mask=mask, value_mask=mask))[1].any()  # the bias of the output is 0
    alike = np.broadcast_to(x[1].mean(0), (3, 4))
    np.testing.assert_allclose(y[1], np.asarray(layer(x[1:], alike[None]))[0], atol=1e-6)
    np.testing.assert_allclose(y[0, :2], np.asarray(layer(x[:1, :2], x[:1, :2]))[0], atol=1e-6)
    scores = layer(x, x, attention_mask=mask[:, :, None], return_attention_scores=True)[1]
    assert not np.asarray(scores)[1].any()


@pytest.mark.parametrize("masked", [(True, True), (True, False), (False, True)])
def test_extremes_leave_masked_steps_out_where_another_input_has_one(masked):
    a, b = np.float32([[[5], [1], [7]]]), np.float32([[[2], [9], [3]]])
    one, other = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
    valid = [[True, False, False]], [[False, True, False]]
    for x, given, mask in zip((one, other), masked, valid):
        if given:
            x._keras_mask = ops.convert_to_tensor(mask)
    largest = {(True, True): [5, 9, 7], (True, False): [5, 9, 3], (False, True): [5, 9, 7]}[masked]
    smallest = {(True, True): [5, 9, 7], (True, False): [2, 9, 3], (False, True): [5, 1, 7]}[masked]
    np.testing.assert_array_equal(layers.Maximum()([one, other])[0, :, 0], largest)
    np.testing.assert_array_equal(layers.Minimum()([one, other])[0, :, 0], smallest)
    product = {(True, True): [5, 9, 0], (True, False): [10, 9, 3], (False, True): [5, 9, 7]}[masked]
    np.testing.assert_array_equal(layers.Multiply()([one, other])[0, :, 0], product)


def test_both_directions_give_zeros_for_masked_steps_in_sequences_and_the_last_valid_output_alone():
    x, mask = np.random.default_rng(3).normal(size=(1, 4, 3)).astype("float32"), np.array([[False, True, True, False]])
    last = layers.Bidirectional(layers.GRU(2, zero_output_for_mask=True))
    np.testing.assert_allclose(last(x, mask=mask), last(x[:, 1:3]), rtol=1e-6)
    every = layers.Bidirectional(layers.GRU(2, return_sequences=True))
    np.testing.assert_array_equal(every(x, mask=mask)[0, [0, 3]], np.zeros((2, 4)))


def test_a_mask_that_one_of_several_arguments_carries_is_no_part_of_the_graph():
    words = Input((None,), dtype="int32")
    vectors = layers.Embedding(9, 8, mask_zero=True)(words)
    attention = Model(words, layers.MultiHeadAttention(2, 4)(vectors, vectors))
    assert [layer.name.split("_")[0] for layer in attention.operations] == ["input", "embedding", "multi"]
    x = np.array([[1, 2, 0, 0], [3, 4, 5, 6]])
    short = attention(x[:1, :2])
    np.testing.assert_allclose(attention(x)[:1, :2], short, rtol=1e-4, atol=1e-6)
    alone = Model(words, layers.GRU(3)(vectors))
    assert [layer.name.split("_")[0] for layer in alone.operations] == ["input", "embedding", "not", "gru"]


def test_attention_takes_the_masks_off_its_inputs_as_in_keras():
    words = Input((4,), dtype="int32")
    vectors = layers.Embedding(9, 8, mask_zero=True)(words)
    attended = layers.MultiHeadAttention(2, 4)(vectors, vectors)
    x = np.array([[1, 2, 0, 0], [3, 4, 5, 0]])
    assert Model(words, attended)(x)._keras_mask is not None
    residual = Model(words, layers.Add()([vectors, attended]))
    assert getattr(residual(x), "_keras_mask", None) is None
    grouped = Model(words, layers.Add()([vectors, layers.GroupQueryAttention(4, 2, 1)(vectors, vectors)]))
    assert grouped(x)._keras_mask is not None
    residual.compile("sgd", "mse")
    wanted = np.mean(np.square(residual.predict(x, verbose=0)))  # over all positions
    np.testing.assert_allclose(residual.evaluate(x, np.zeros((2, 4, 8)), verbose=0), wanted, rtol=1e-5)
