"""What subclasses of attention layers may replace, and the masks that each part heeds."""

import numpy as np
import pytest

import nacre as keras
from nacre import layers


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention"])
def test_attention_may_be_computed_by_a_subclass(kind):
    of, sizes = getattr(layers, kind), {"MultiHeadAttention": (2, 3), "GroupQueryAttention": (3, 4, 2)}[kind]

    class Doubled(of):
        def _compute_attention(self, query, key, value, attention_mask=None, training=None, **more):
            assert query.shape == key.shape == value.shape
            output, weights = super()._compute_attention(query, key, value, attention_mask, training, **more)
            return 2 * output, weights

    class Own(of):
        def _compute_attention(self, query, key, value, attention_mask=None, training=None):
            scores = keras.ops.einsum(self._dot_product_equation, key, query) / query.shape[-1] ** 0.5
            weights = self._masked_softmax(scores, attention_mask)
            return keras.ops.einsum(self._combine_equation, weights, value), weights

    class Others(of):
        def _compute_causal_mask(self, query, value=None):
            return super()._compute_causal_mask(query, value)[:, ::-1, ::-1]

    x = np.random.default_rng(0).normal(size=(2, 4, 6)).astype("float32")
    mask = np.tril(np.ones((2, 4, 4), "int32"))
    plain, doubled, own, others = (make(*sizes, use_bias=False) for make in (of, Doubled, Own, Others))
    expected = plain(x, x, attention_mask=mask)
    for layer in (doubled, own, others):
        layer.build(x.shape, x.shape)
        layer.set_weights(plain.get_weights())
    np.testing.assert_allclose(doubled(x, x, attention_mask=mask), 2 * expected, rtol=1e-5)
    output, weights = doubled(x, x, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(output, 2 * expected, rtol=1e-5)
    assert np.triu(weights[0, 0], 1).max() < 1e-6 and doubled.quantization_mode is None
    np.testing.assert_allclose(own(x, x, use_causal_mask=True), expected, rtol=1e-4, atol=1e-6)
    backwards = plain(x, x, attention_mask=mask[:, ::-1, ::-1])
    np.testing.assert_allclose(others(x, x, use_causal_mask=True), backwards, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("make", [lambda: layers.MultiHeadAttention(2, 3), lambda: layers.GroupQueryAttention(3, 2, 1)])
def test_attention_of_projected_values_heeds_both_masks(make, scores):
    layer, (q, k, v) = make(), np.random.default_rng(1).normal(size=(3, 1, 4, 2, 3)).astype("float32")
    layer.build((1, 4, 6), (1, 4, 6))
    free = np.ones((1, 4, 4), bool)
    free[0, 3, 1] = False
    both, weights = layer._compute_attention(q, k, v, free, use_causal_mask=True, return_attention_scores=scores)
    expected, _ = layer._compute_attention(q, k, v, np.tril(free), return_attention_scores=scores)
    np.testing.assert_allclose(both, expected, rtol=1e-6)
    assert (weights is not None) == scores


def test_dot_product_attention_may_have_other_scores_and_masks():
    class Near(layers.Attention):
        def _calculate_scores(self, query, key):
            return -keras.ops.abs(query - keras.ops.swapaxes(key, -1, -2))

        def _calculate_score_mask(self, scores, v_mask, use_causal_mask):
            assert v_mask is None and not use_causal_mask
            return keras.ops.convert_to_tensor(np.eye(3, dtype=bool)[None, ::-1])

    x = np.float32([[[1], [2], [4]]])
    output, weights = Near()([x, x], return_attention_scores=True)
    np.testing.assert_array_equal(weights[0], np.eye(3)[::-1])
    np.testing.assert_array_equal(output[0, :, 0], [4, 2, 1])
