"""Masks on their way from layer to layer."""

import numpy as np

from nacre import Input, Model, layers


def test_a_mask_given_by_name_is_handed_on_like_that_of_the_tensor():
    x, mask = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32"), np.arange(5)[None] < [[3], [5]]
    first, second = layers.GRU(4, return_sequences=True), layers.GRU(2)
    named = second(first(x, mask=mask))
    np.testing.assert_array_equal(named.numpy(), second(first(x, mask=mask), mask=mask).numpy())
    assert not np.array_equal(named.numpy(), second(np.asarray(first(x, mask=mask))).numpy())
    symbols = Input((5, 3)), Input((5,), dtype="bool")
    model = Model(symbols, second(first(symbols[0], mask=symbols[1])))
    np.testing.assert_allclose(model.predict([x, mask], verbose=0), named.numpy(), rtol=1e-5)
